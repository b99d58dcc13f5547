"""The words of phrases, and what those that are no names mean in the query language (``word_tables.yaml``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

import yaml

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)?(?=\s*(?:mm|cm|milli|centi))|[^\W_]+(?:/[^\W_]+)?|['’]s\b|[^\w\s]")
_VERTEBRA: Final = re.compile(r"\bvertebral bod(?:y|ies)\b")
_SPELT: Final = {
    "vertebras": "vertebrae",
    **dict.fromkeys(("millimeter", "millimeters", "millimetre", "millimetres", "mms"), "mm"),
    **dict.fromkeys(("centimeter", "centimeters", "centimetre", "centimetres", "cms"), "cm"),
}
_DROPPED: Final = frozenset({"the", "a", "an", "'s", "’s", "patient", "'", "’", "-", "–"})
"""Words that are left out before any other word is looked at."""


def words_of(phrase: str) -> list[str]:
    """The words of a phrase in small letters, without articles.

    Example:
        >>> words_of("The cyst nearest to the liver's edge, > 1.5 cm")
        ['cyst', 'nearest', 'to', 'liver', 'edge', ',', '>', '1.5', 'cm']
    """
    text = _VERTEBRA.sub("vertebra", phrase.casefold().replace("_", " "))
    return [_SPELT.get(word, word) for word in _WORD.findall(text) if word not in _DROPPED]


def table(name: str) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """One table of words: for each meaning its wordings, word by word."""
    return _tables()[name]


def listed(name: str) -> frozenset[str]:
    """One list of single words."""
    return frozenset(_content()[name])


def wordings(name: str) -> tuple[tuple[str, ...], ...]:
    """One list of wordings, word by word, the longest first."""
    return tuple(sorted((tuple(each.split()) for each in _content()[name]), key=len, reverse=True))


def starts_with(words: Sequence[str], wording: Sequence[str]) -> bool:
    """Whether words begin with a wording."""
    return tuple(words[: len(wording)]) == tuple(wording)


@cache
def known_words() -> frozenset[str]:
    """Every word of the tables."""
    content = _content()
    texts = [text for name in content for text in _texts(content[name])]
    return frozenset(word for text in texts for word in text.split())


def _texts(part: Any) -> list[str]:
    return [str(text) for texts in part.values() for text in texts] if isinstance(part, dict) else list(map(str, part))


@cache
def _tables() -> Mapping[str, Mapping[str, tuple[tuple[str, ...], ...]]]:
    return {
        name: {meaning: tuple(tuple(text.split()) for text in texts) for meaning, texts in part.items()}
        for name, part in _content().items()
        if isinstance(part, dict)
    }


@cache
def _content() -> dict[str, Any]:
    text = files("medvlsam2.tasks.phrases.reading").joinpath("word_tables.yaml").read_text(encoding="utf-8")
    return cast("dict[str, Any]", yaml.safe_load(text))
