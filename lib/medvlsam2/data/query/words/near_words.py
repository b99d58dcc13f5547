"""Correction of misspelt words: the nearest known word, if one is near enough.

The distance counts missing, added, replaced and swapped letters. It is used with care: "river" must not become "liver",
nor "mask" "mass". So the first letter has to be right in short words, and words of fewer than four letters are left
alone. English words that lie near to anatomical ones stand in ``english_words.yaml`` and are never corrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

import yaml

SHORTEST: Final = 4
"""Fewest letters of a word that is corrected, and of what it is corrected to: "spln" is no "SPN" (a lung nodule)."""
_LONGEST: Final = 24
"""The longest known word has 20 letters."""
_SURE_LENGTH: Final = 7
"""From this length on the first letter may be wrong: no English word was found there that lies so near to a name."""
_TWO_ERRORS_LENGTH: Final = 8
"""From this length on two errors are corrected."""


def nearest_word(word: str, known: frozenset[str]) -> str | None:
    """Return the known word that a misspelt word means; None if none is near enough.

    Args:
        word: a word in small letters that is not known.
        known: words in small letters.

    Example:
        >>> nearest_word("livr", frozenset({"liver", "left"})), nearest_word("river", frozenset({"liver"}))
        ('liver', None)
    """
    if not SHORTEST <= len(word) <= _LONGEST or word in _english() or not word.isalpha():
        return None
    most = 2 if len(word) >= _TWO_ERRORS_LENGTH else 1
    return _nearest(word, _candidates(known, word, most), most)


def _nearest(word: str, candidates: Iterable[str], most: int) -> str | None:
    """The candidate with the fewest errors: with swapped letters, else the longest: letters are often left out."""
    long_enough = (known for known in candidates if len(known) >= SHORTEST)
    letters = sorted(word)
    near = [
        (errors, sorted(known) != letters, -len(known), known)
        for known in long_enough
        if (errors := _errors(word, known, most)) <= most
    ]
    return min(near)[-1] if near else None


@cache
def _english() -> frozenset[str]:
    text = files("medvlsam2.data.query.words").joinpath("english_words.yaml").read_text(encoding="utf-8")
    return frozenset(str(yaml.safe_load(text)["words"]).split())


def _candidates(known: frozenset[str], word: str, most: int) -> Iterable[str]:
    """The known words that can be near: of similar length, mostly the same letters and, if short, the same start."""
    letters = _letters(word)
    for length in range(len(word) - most, len(word) + most + 1):
        for other, theirs in _by_length(known).get(length, ()):
            starts_alike = other[0] == word[0] or length >= _SURE_LENGTH or other[:2] == word[1::-1]
            if starts_alike and (letters ^ theirs).bit_count() <= 2 * most:
                yield other


@cache
def _by_length(known: frozenset[str]) -> dict[int, list[tuple[str, int]]]:
    lengths: dict[int, list[tuple[str, int]]] = {}
    for word in sorted(known):
        lengths.setdefault(len(word), []).append((word, _letters(word)))
    return lengths


def _letters(word: str) -> int:
    """The letters of a word as bits; one error changes at most two of them."""
    return sum(1 << (ord(letter) - ord("a")) for letter in set(word) if "a" <= letter <= "z")


def _errors(word: str, known: str, most: int) -> int:
    """Missing, added, replaced and swapped letters (optimal string alignment); more than ``most`` is not told apart."""
    before: list[int] = []
    row = list(range(len(known) + 1))
    for i, letter in enumerate(word, start=1):
        before, last = row, before
        row = [i]
        for j, other in enumerate(known, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == known[j - 2] and word[i - 2] == other:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
