"""Names within a phrase: which words together mean a structure or finding, typing errors included."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.words.known_words import corrected_word
from medvlsam2.data.query.words.lay_words import lay_names, lay_words
from medvlsam2.data.structures.table import ORDINALS
from medvlsam2.tasks.phrases.reading.words import known_words, words_of

MOST_WORDS: Final = 7
"""Most words of a name."""
_ENDS: Final = frozenset(
    {"of", "in", "on", "at", "and", "or", "both", "side", "sided", "his", "her", "their", "this", ",", ";"}
)
"""No name begins or ends with one of these, though some may stand within: "lower lobe of left lung"."""
_AFTER_A_SIDE: Final = frozenset({"of", "to", "above", "below", "over", "under"})
"""Before one of these a side is no part of a name: "kidneys left of the aorta", "the rib right below rib 4"."""
_LISTS: Final = frozenset({"and", "or", ",", ";", "&", "plus"})
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "lower lobes": ("lung_lower_lobe_left", "lung_lower_lobe_right"),
    "upper lobes": ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    "lung lower lobes": ("lung_lower_lobe_left", "lung_lower_lobe_right"),
    "lung upper lobes": ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    "middle lobe": ("lung_middle_lobe_right",),
}
"""Names for several structures that have no name of their own in the vocabulary."""
_RIB: Final = re.compile(
    rf"(?:ribs? (?:number |no )?(?:\d+|{'|'.join(ORDINALS)})|(?:\d+(?:st|nd|rd|th)|{'|'.join(ORDINALS)}) ribs?)"
)
"""One rib without its side: both of them."""
_SIDES: Final = frozenset({"left", "right"})


@dataclass(frozen=True)
class Name:
    """Words that mean structures.

    Args:
        start: index of the first word.
        stop: behind the last one.
        keys: what they mean; several for a group such as "lower lobes".
    """

    start: int
    stop: int
    keys: tuple[str, ...]


def names_in(words: Sequence[str]) -> list[Name]:
    """The names among the words of a phrase, in order, the longest first where they overlap.

    Example:
        >>> [name.keys for name in names_in(words_of("both lungs without the lower lobes"))]
        [('lungs',), ('lung_lower_lobe_left', 'lung_lower_lobe_right')]
    """
    return list(_names(words))


def meaning(words: Sequence[str]) -> tuple[str, ...]:
    """The keys that all of some words together mean; none if they are no name."""
    text = " ".join(words)
    if text in _GROUPS:
        return _GROUPS[text]
    if _RIB.fullmatch(text) is not None:
        both = (vocabulary.lookup(f"{side} {text}") for side in ("left", "right"))
        return tuple(each.key for each in both if each is not None)
    known = vocabulary.lookup(text)
    if known is not None:
        return (known.key,)
    return _lay().get(_unordered(words), ())


def corrected(words: Sequence[str]) -> list[str]:
    """The words with typing errors mended; the words of sides and numbers are never touched.

    Example:
        >>> corrected(["gallblader", "kindey", "lefft"])
        ['gallbladder', 'kidney', 'lefft']
    """
    return [_mended(word) for word in words]


def _names(words: Sequence[str]) -> Iterator[Name]:
    start = 0
    while start < len(words):
        name = next((one for one in _from(words, start) if one.keys), None)
        if name is not None and words[start] in _SIDES and _goes_on(words, name):
            name = None  # "left kidney stone": a kidney stone on the left
        if name is None:
            start += 1
        else:
            yield name
            start = name.stop


def _goes_on(words: Sequence[str], name: Name) -> bool:
    """Whether a name without its side is the beginning of a longer one."""
    longest = next((one for one in _from(words, name.start + 1) if one.keys), None)
    return longest is not None and longest.stop > name.stop


def _from(words: Sequence[str], start: int) -> Iterator[Name]:
    """Whatever could be a name from a word on, the longest first."""
    for stop in range(min(len(words), start + MOST_WORDS), start, -1):
        some = _with_side(words, start, stop)
        if some[-1] in _SIDES and stop < len(words) and words[stop] in _AFTER_A_SIDE:
            continue
        if some[0] in _ENDS or some[-1] in _ENDS or _LISTS.intersection(some) or set(some) >= _SIDES:
            continue
        yield Name(start, stop, () if set(some) <= _SIDES else meaning(some))


def _with_side(words: Sequence[str], start: int, stop: int) -> list[str]:
    """Some of the words; of "lung, right" without the comma, if no other name begins with that side."""
    some = list(words[start:stop])
    is_after_comma = len(some) > 2 and some[-1] in _SIDES and some[-2] == ","
    if is_after_comma and not any(meaning(words[stop - 1 : end]) for end in range(stop + 1, len(words) + 1)):
        del some[-2]
    return some


def _mended(word: str) -> str:
    if not word.isalpha() or _is_like_a_side(word):
        return word
    near = corrected_word(word, _described() | known_words())
    return word if near in _SIDES else near


def _is_like_a_side(word: str) -> bool:
    return bool(get_close_matches(word, _SIDES, n=1, cutoff=0.75))


@cache
def _described() -> frozenset[str]:
    """Every word of names and descriptions."""
    texts = [text for each in vocabulary.STRUCTURES.values() for text in (each.name, *each.synonyms)]
    texts += [text for key in vocabulary.STRUCTURES for text in (*lay_names(key), *anatomy.descriptions(key))]
    words = {word for text in texts for word in re.findall(r"[^\W\d_]+", text.casefold())}
    return frozenset(words | {f"{word}s" for word in words if not word.endswith("s")})


@cache
def _lay() -> Mapping[frozenset[str] | tuple[str, ...], tuple[str, ...]]:
    """Lay words and descriptions, each with its structure."""
    found: dict[frozenset[str] | tuple[str, ...], tuple[str, ...]] = {}
    for key, texts in lay_words().items():
        for text in texts:
            found.setdefault(_unordered(words_of(text)), (key,))
    for key in vocabulary.STRUCTURES:
        for text in anatomy.descriptions(key):
            found.setdefault(_unordered(words_of(text)), (key,))
    return found


def _unordered(words: Sequence[str]) -> tuple[str, ...]:
    """Words in the singular, in their order."""
    return tuple(word if word.endswith("ss") else word.removesuffix("s") for word in words)
