"""Vocabulary of structure names for prompts, labels, reports, colours and DICOM codes.

People name a structure in many ways ("Left Kidney", "kidney_left", "lt. kidney", "renal left"). :func:`find` returns
the :class:`Structure` that a name means. Phrases are compared as sets of plain words: case, word order, punctuation,
plural, British spelling, and the notation of a side or of a vertebral level do not matter.

A name without a side means both sides ("kidney" and "both kidneys" are ``kidneys``). A name with a side for a structure
without sides ("left liver") is unknown: the side is not dropped silently, because the user may mean the left lobe. A
phrase that says more than a name ("the largest cyst in the liver") is unknown too; such phrases are for referring
segmentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import cache

from medvlsam2.data.structures.plain_words import plain_words
from medvlsam2.data.structures.table import (
    Code,
    Side,
    Structure,
    Window,
    load_structures,
)
from medvlsam2.errors import UnknownStructure

__all__ = [
    "STRUCTURES",
    "Code",
    "Side",
    "Structure",
    "Window",
    "find",
    "lookup",
    "mirror",
    "names",
    "nearest",
]


class _Structures(Mapping[str, Structure]):
    """The structures by key; the files are read at the first use."""

    def __getitem__(self, key: str) -> Structure:
        return load_structures()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(load_structures())

    def __len__(self) -> int:
        return len(load_structures())


STRUCTURES: Mapping[str, Structure] = _Structures()
"""Every structure by its key."""


def find(text: str) -> Structure:
    """Return the structure that a name means.

    Args:
        text: key, name or synonym as a person or a program writes it.

    Raises:
        UnknownStructure: if no structure has that name; the message gives the most similar names.

    Example:
        >>> find("Lt. kidney").key, find("3rd left rib").key, find("tumour of the lung").key
        ('kidney_left', 'rib_left_3', 'lung_tumor')
    """
    if not text.strip():
        raise UnknownStructure('The structure name "" is empty. Give a name such as "liver".')
    structure = lookup(text)
    if structure is None:
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
        raise UnknownStructure(
            f'Unknown structure "{shown}". A name, synonym or key of the {len(STRUCTURES)} structures of the '
            f"vocabulary is allowed. Did you mean {', '.join(nearest(text))}?"
        )
    return structure


def lookup(text: str) -> Structure | None:
    """Return the structure that a name means, or None if no structure has that name.

    Example:
        >>> lookup("vertebra L2").key
        'vertebrae_L2'
        >>> lookup("the largest cyst") is None
        True
    """
    return _index().get(plain_words(text))


def names() -> tuple[str, ...]:
    """Return the name of each structure that people read, in the order of the table."""
    return tuple(structure.name for structure in STRUCTURES.values())


def nearest(text: str, count: int = 3) -> tuple[str, ...]:
    """Return the names of the structures that are most similar to a text, the most similar first.

    The similarity is the share of equal letters in order (difflib) plus the share of common words.

    Example:
        >>> nearest("livr", 1)
        ('liver',)
    """
    plain = text[:_SHOWN_CHARACTERS].lower()
    words = plain_words(plain)
    similarity: dict[str, float] = {}
    for phrase, phrase_words, structure in _phrases():
        letters = SequenceMatcher(None, plain, phrase).ratio()
        shared = len(words & phrase_words) / len(words | phrase_words)
        similarity[structure.name] = max(similarity.get(structure.name, 0.0), letters + shared)
    return tuple(sorted(similarity, key=lambda name: -similarity[name])[:count])


def mirror(key: str) -> str:
    """Return the key of the same structure on the other side, for mirrored scans; the same key if it has no side.

    Example:
        >>> mirror("kidney_left"), mirror("rib_right_3"), mirror("liver")
        ('kidney_right', 'rib_left_3', 'liver')
    """
    side = STRUCTURES[key].side if key in STRUCTURES else None
    if side is None:
        return key
    other = "right" if side == "left" else "left"
    mirrored = "_".join(other if word == side else word for word in key.split("_"))
    return mirrored if mirrored in STRUCTURES else key


_SHOWN_CHARACTERS = 80


@cache
def _index() -> Mapping[frozenset[str], Structure]:
    return {words: structure for _, words, structure in _phrases()}


@cache
def _phrases() -> tuple[tuple[str, frozenset[str], Structure], ...]:
    """Return every phrase in lower case, with its set of words and its structure."""
    return tuple(
        (phrase.lower(), plain_words(phrase), structure)
        for structure in STRUCTURES.values()
        for phrase in (structure.name, structure.key.replace("_", " "), *structure.synonyms)
    )
