"""How people type: small letters, no question mark, typing errors, politeness, and the patient's story around it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from medvlsam2.data.language.grammar import capital, pick

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
_BEFORE = (
    *("please ", "pls ", "hi, ", "hello, ", "hey ", "quick question: ", "question: ", "ok ", "ok, ", "so ", "and "),
    *(
        "can you tell me, ",
        "could you please tell me: ",
        "excuse me, ",
        "sorry, ",
        "one more thing: ",
        "just checking: ",
    ),
    *("dear colleague, ", "i have a question. ", "i was wondering, ", "good morning. ", "for the report: ", "thanks, "),
    *("next question: ", "tell me, ", "well, ", "um ", "Dr. Lee here. ", "for my tumor board: ", "curious: ", "now "),
)
_AFTER = (
    *(" please", " pls", " thanks", " thank you", " thx", ", please", " asap", " in this scan", " here", " on this CT"),
    *(
        " in this patient",
        " for this patient",
        " i need this for the report",
        " it's urgent",
        " if you can",
        " roughly",
    ),
    *(" - thanks!", " :)", " in this study", " for the tumor board", " on these images", " cheers"),
)
_STORIES = (
    *("65yo with abdominal pain, ", "54 y/o female, weight loss. ", "s/p trauma. ", "s/p MVA, ", "72M, fever. "),
    *("patient with dyspnea. ", "known cancer, restaging. ", "pre-op planning: ", "42F with flank pain: "),
    *(
        "follow up scan. ",
        "routine check: ",
        "the patient fell yesterday. ",
        "new patient in the ER. ",
        "smoker, 40 py. ",
    ),
    *("hx of alcohol abuse. ", "post op day 3. ", "elevated LFTs. ", "oncology follow-up. ", "78 year old man. "),
    *("pain since two days, ", "acute abdomen? ", "staging CT. ", "the surgeon asks: ", "the ward wants to know: "),
    *(
        "looking at this scan, ",
        "on the current CT, ",
        "from the masks, ",
        "given what you see, ",
        "known hypertension. ",
    ),
    *("weight loss of 10 kg in 3 months. ", "30-year-old after a bike accident, ", "CRP 120. ", "Hb 7.2 g/dL, "),
)


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
    if chance < 0.72:
        return text
    if chance < 0.82:
        return pick(rng, _BEFORE) + text
    if chance < 0.90:
        body, mark = (text[:-1], "?") if text.endswith("?") else (text, "")
        return body + pick(rng, _AFTER) + mark
    return pick(rng, _STORIES) + text


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
