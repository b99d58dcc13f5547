"""Sides that a text tells: "left kidney", "rt. lung", "L femur", also misspelt; and words that only look like a side.

"5 L" and "in L" are litres, "what is left of the liver" and "left out" are no side, and "…, right?" asks for agreement.
"""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data.query.linking import linked_names
from medvlsam2.data.query.words.known_words import corrected_words
from medvlsam2.data.structures.table import Side

_LETTERS: Final[dict[str, Side]] = {"l": "left", "r": "right"}
_SHORT: Final[dict[str, Side]] = {"lt": "left", "rt": "right"}
_BOTH_LETTERS: Final = re.compile(
    r"\b(?:l *(?:or|and|vs\.?|versus|/|&) *r|r *(?:or|and|vs\.?|versus|/|&) *l)\b", re.IGNORECASE
)
_AGREEMENT: Final = re.compile(
    r",\s*right(?=\W|$)|\b(?:is|that['’]?s|that|this|it|all|quite|are you|am i) right(?=\s*(?:[,.?!]|$))"
    r"|\bright (?:now|away|here|then|answer|above|below|beside|behind|next|under|over|in front|at)\b"
    r"|\b(?:what|anything|something|nothing|much)(?: is|['’]s)? left\b|\bleft[ -]out\b",
    re.IGNORECASE,
)
"""Words that hold "left" or "right" but may tell no side. After a comma it may be one ("kidney, right")."""


def told_sides(text: str) -> frozenset[Side]:
    """Return the sides that a text surely tells.

    Example:
        >>> sorted(told_sides("is the L kidney larger than the rihgt one?")), sorted(told_sides("liver in L, right?"))
        (['left', 'right'], [])
    """
    return _sides(_AGREEMENT.sub(" ", text))


def possible_sides(text: str) -> frozenset[Side]:
    """Return the sides that a text may tell: "kidney, right?" may mean the right kidney."""
    return _sides(text)


def _sides(text: str) -> frozenset[Side]:
    spelled = _BOTH_LETTERS.sub("left right", text)
    words = [word.lower() for word in corrected_words(spelled)]
    return frozenset(side for word, after in zip(words, [*words[1:], ""], strict=False) if (side := _side(word, after)))


def _side(word: str, after: str) -> Side | None:
    """The side of a word; a letter is one only before a name."""
    if word in _LETTERS:
        return _LETTERS[word] if after.isalpha() and linked_names(after) else None
    if word in _SHORT:
        return _SHORT[word]
    if word.startswith("left"):
        return "left"
    return "right" if word.startswith("right") else None
