"""How people type: small letters, no question mark, typing errors, politeness, and the patient's story around it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from medvlsam2.data.language.grammar import capital, pick
from medvlsam2.data.language.querying.patterns import content

_HARD_SHARE = 0.10
"""Share of texts with several typing errors."""
_EASY_SHARE = 0.15
"""Share of texts with one typing error."""
_SHORTEST_WORD = 5
"""Letters of the shortest word that gets a typing error; an error in a shorter one may make another word."""
_NEIGHBOURS = {
    **{"a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk"},
    **{"k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "wa", "r": "et", "s": "ad", "t": "ry"},
    **{"u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x"},
}
"""Letters beside each letter on an English keyboard."""


def typed(text: str, rng: np.random.Generator, *, phrase: bool = False) -> str:
    """Return a text as a person types it.

    Args:
        text: a question or a phrase, with its question mark if it has one.
        rng: random generator.
        phrase: whether it is a phrase, which gets no story around it.
    """
    text = " ".join(text.split())
    if not phrase:
        text = _around(text, rng)
    text = _mark(text, rng)
    text = _errors(text, rng)
    return _case(text, rng)


def _around(text: str, rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < 0.68:
        return text
    table = content("around")
    if chance < 0.78:
        return str(pick(rng, table["before"])) + text
    if chance < 0.87:
        body, mark = (text[:-1], "?") if text.endswith("?") else (text, "")
        return body + str(pick(rng, table["after"])) + mark
    if chance < 0.96:
        return str(pick(rng, table["stories"])) + text
    story = str(pick(rng, [each for each in table["stories"] if each.endswith(". ")]))
    return f"{text}{'' if text[-1] in '?.!' else '.'} {capital(story.strip())}"


def _mark(text: str, rng: np.random.Generator) -> str:
    """Leave out or change the mark at the end."""
    if not text.endswith("?"):
        return text + pick(rng, ("", "", "", ".", "?", "!"))
    chance = rng.random()
    if chance < 0.6:
        return text
    return text[:-1] + ("" if chance < 0.93 else pick(rng, ("??", " ?", ".", "?!", "...")))


def _case(text: str, rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < 0.5:
        return capital(text)
    if chance < 0.72:
        return text
    if chance < 0.92:
        return text.lower()
    if chance < 0.97:
        return text.upper()
    return " ".join(capital(word) for word in text.split(" ") if word)


def _errors(text: str, rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < _HARD_SHARE:
        share = 0.45
    elif chance < _HARD_SHARE + _EASY_SHARE:
        share = 0.15
    else:
        return text
    parts = re.split(r"(\W+)", text)
    return "".join(_misspelt(part, rng) if _may_err(part) and rng.random() < share else part for part in parts)


def _may_err(word: str) -> bool:
    return len(word) >= _SHORTEST_WORD and word.isascii() and word.isalpha() and not word.isupper()


def _misspelt(word: str, rng: np.random.Generator) -> str:
    """A word with two letters swapped, or one left out, doubled, or replaced by its neighbour on the keyboard."""
    place = int(rng.integers(1, len(word) - 1))
    errors: tuple[Callable[[str, int, np.random.Generator], str], ...] = (
        _swapped,
        _dropped,
        _dropped,
        _doubled,
        _beside,
    )
    return pick(rng, errors)(word, place, rng)


def _swapped(word: str, place: int, rng: np.random.Generator) -> str:
    del rng
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _dropped(word: str, place: int, rng: np.random.Generator) -> str:
    del rng
    return word[:place] + word[place + 1 :]


def _doubled(word: str, place: int, rng: np.random.Generator) -> str:
    del rng
    return word[:place] + word[place] + word[place:]


def _beside(word: str, place: int, rng: np.random.Generator) -> str:
    near = _NEIGHBOURS.get(word[place].lower(), word[place])
    return word[:place] + pick(rng, near) + word[place + 1 :]
