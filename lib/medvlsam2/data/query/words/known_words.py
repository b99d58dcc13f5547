"""The words of a text: which of them are known from names, and misspelt ones corrected."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.query.words.lay_words import hints, lay_words
from medvlsam2.data.query.words.near_words import SHORTEST, nearest_word
from medvlsam2.data.structures.plain_words import ALIASES, plain_words

_MAX_WORDS: Final = 80
"""Words of a text that are looked at; a question that is longer tells a story, and its names come early."""
_TOKEN: Final = re.compile(r"[^\W_]+(?:['’]s\b)?|[,;:/<>=%?!]")
_NO_NAMES: Final = re.compile(r"\b(?:long|short|longest|shortest|major|minor|main)[ -]ax[ie]s\b", re.IGNORECASE)
"""Words of measures that hold a name: the axis is a vertebra too."""
JOINING: Final = frozenset(
    [
        ",",
        ";",
        ":",
        "/",
        "and",
        "or",
        "than",
        "to",
        "vs",
        "versus",
        "from",
        "with",
        "without",
        "but",
        "not",
        "minus",
        "except",
        "between",
    ]
)
"""Words that join two things."""
_SIDES: Final = frozenset({"left", "right"})


@dataclass(frozen=True)
class Word:
    """A word of a text, corrected if it was misspelt."""

    text: str
    plain: frozenset[str]
    """What it means (:mod:`medvlsam2.data.structures.plain_words`)."""
    corrected: bool
    """Whether it was misspelt."""


def corrected_words(text: str) -> list[str]:
    """Return the words of a text, and its commas, with misspelt names, "left" and "right" corrected.

    Example:
        >>> corrected_words("letf kidny, please")
        ['left', 'kidney', ',', 'please']
    """
    return [word.text for word in words_of_text(text)]


def corrected_word(word: str, also: frozenset[str] = frozenset()) -> str:
    """Return a word with its typing error mended, if it is near to a word of a name.

    Args:
        word: in small letters.
        also: other words that are known.

    Example:
        >>> corrected_word("kindey"), corrected_word("nearst", frozenset({"nearest"}))
        ('kidney', 'nearest')
    """
    known = _spellings() | also
    return word if word in known or plain_words(word) <= _known_plain() else nearest_word(word, known) or word


def words_of_text(text: str) -> list[Word]:
    """Return the words and signs of a text, of a long one the first eighty."""
    return [_word(found[0]) for found in tokens_of(text)]


def tokens_of(text: str) -> list[re.Match[str]]:
    """Return where the words and signs of a text stand, one for each word of :func:`words_of_text`."""
    words = _NO_NAMES.sub(lambda found: " " * len(found[0]), text.replace("_", " "))
    return list(itertools.islice(_TOKEN.finditer(words), _MAX_WORDS))


@lru_cache(maxsize=4096)
def _word(token: str) -> Word:
    plain = plain_words(token)
    if not plain or plain <= _known_plain() or token.lower() in JOINING:
        return Word(token, plain, corrected=False)
    near = nearest_word(token.lower(), _spellings())
    return Word(token, plain, corrected=False) if near is None else Word(near, plain_words(near), corrected=True)


@cache
def named_by_words() -> Mapping[frozenset[str], tuple[str, ...]]:
    """Return vocabulary keys by the plain words of each name, synonym and lay name."""
    found: dict[frozenset[str], dict[str, None]] = {}
    for key, phrase in _phrases():
        words = plain_words(phrase)
        if words:
            found.setdefault(words, {})[key] = None
    return {words: tuple(keys) for words, keys in found.items()}


@cache
def hinted_by_words() -> Mapping[frozenset[str], tuple[str, ...]]:
    """Return vocabulary keys by the plain words of each hint."""
    return {plain_words(phrase): keys for phrase, keys in hints().items()}


def _phrases() -> Iterator[tuple[str, str]]:
    for key, structure in vocabulary.STRUCTURES.items():
        for phrase in (structure.name, key.replace("_", " "), *structure.synonyms):
            yield key, phrase
    for key, phrases in lay_words().items():
        for phrase in phrases:
            yield key, phrase


@cache
def _spellings() -> frozenset[str]:
    """All words of names, synonyms, lay words and hints in small letters, their plurals, and adjectives of organs."""
    phrases: Iterable[str] = (*(phrase for _, phrase in _phrases()), *hints(), *ALIASES)
    words = {word for phrase in phrases for word in re.findall(r"[a-z]+", phrase.lower()) if len(word) >= SHORTEST}
    return frozenset({"left", "right", *words, *(f"{word}s" for word in words - _SIDES if word[-1] not in "aious")})


@cache
def _known_plain() -> frozenset[str]:
    return frozenset(word for words in (*named_by_words(), *hinted_by_words()) for word in words) | _SIDES
