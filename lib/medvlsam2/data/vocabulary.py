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

import re
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import cache

from medvlsam2.data.structures.table import (
    ORDINALS,
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
    return _index().get(_words(text))


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
    words = _words(plain)
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
_SIDES = frozenset({"left", "right"})
_FILLERS = frozenset(
    {
        *("the", "a", "an", "of", "in", "on", "at", "and", "this", "his", "her", "their", "patient"),
        *("both", "bilateral", "sided", "side", "gland", "organ", "structure", "whole", "entire"),
    }
)
_CARDINALS = (
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_NUMBERS = {word: str(number) for words in (ORDINALS, _CARDINALS) for number, word in enumerate(words, start=1)}
_PLURALS = {
    "atria": "atrium",
    "bronchi": "bronchus",
    "calculi": "calculus",
    "chiasma": "chiasm",
    "femora": "femur",
    "humeri": "humerus",
    "metastases": "metastasis",
    "thrombi": "thrombus",
    "emboli": "embolus",
}
_SINGULAR_IN_S = frozenset({"pancreas", "psoas", "iliopsoas", "atlas"})
_ALIASES = {
    "l": "left",
    "lt": "left",
    "sinister": "left",
    "sinistra": "left",
    "r": "right",
    "rt": "right",
    "dexter": "right",
    "dextra": "right",
    "aortic": "aorta",
    "arteria": "artery",
    "bony": "bone",
    "osseous": "bone",
    "calculus": "stone",
    "cardiac": "heart",
    "cor": "heart",
    "clavicula": "clavicle",
    "colonic": "colon",
    "costa": "rib",
    "costal": "rib",
    "duodenal": "duodenum",
    "esophageal": "esophagus",
    "hepar": "liver",
    "hepatic": "liver",
    "intestinal": "bowel",
    "intestine": "bowel",
    "lien": "spleen",
    "splenic": "spleen",
    "mandibula": "mandible",
    "mandibular": "mandible",
    "metastatic": "metastasis",
    "neoplasm": "tumor",
    "pancreatic": "pancreas",
    "prostatic": "prostate",
    "pulmo": "lung",
    "pulmonary": "lung",
    "ren": "kidney",
    "renal": "kidney",
    "suprarenal": "adrenal",
    "thyroidea": "thyroid",
    "tracheal": "trachea",
    "vena": "vein",
    "vertebral": "vertebra",
    "vesica": "bladder",
}
_BRITISH = (
    (re.compile(r"^oe(?=soph|dem)"), "e"),
    (re.compile(r"^coeli"), "celi"),
    (re.compile(r"^haem"), "hem"),
    (re.compile(r"our$"), "or"),
)
_REGIONS = {"cervical": "c", "thoracic": "t", "dorsal": "t", "lumbar": "l", "sacral": "s"}
_LEVEL = re.compile(r"^([ctls])(\d{1,2})$")


@cache
def _index() -> Mapping[frozenset[str], Structure]:
    return {words: structure for _, words, structure in _phrases()}


@cache
def _phrases() -> tuple[tuple[str, frozenset[str], Structure], ...]:
    """Return every phrase in lower case, with its set of words and its structure."""
    return tuple(
        (phrase.lower(), _words(phrase), structure)
        for structure in STRUCTURES.values()
        for phrase in (structure.name, structure.key.replace("_", " "), *structure.synonyms)
    )


def _words(text: str) -> frozenset[str]:
    """Return the set of plain words of a phrase, by which phrases are compared."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['’]s\b", " ", plain)
    plain = re.sub(r"[^a-z0-9]+", " ", plain)
    plain = re.sub(r"\b0+(?=\d)", "", plain)
    plain = re.sub(r"\b(\d+) ?(?:st|nd|rd|th)\b", r"\1", plain)
    plain = re.sub(r"\b(?:th|d) ?(?=\d)", "t", plain)
    plain = re.sub(r"\bl(?= spine\b)", "lumbar", plain)
    if re.search(r"\b(?:ribs?|costae?)(?:\b|\d)", plain):
        plain = re.sub(r"([a-z])(?=\d)", r"\1 ", plain)
    else:
        plain = re.sub(r"\b([ctls]) (?=\d)", r"\1", plain)
    words = {_NUMBERS.get(word, word) for word in map(_word, plain.split())} - _FILLERS
    if words >= _SIDES:
        words -= _SIDES
    return frozenset(_with_level(words))


def _word(word: str) -> str:
    """Return a word in the singular, in American spelling, and as the organ if it is an adjective or a Latin term."""
    word = _singular(word)
    for pattern, replacement in _BRITISH:
        word = pattern.sub(replacement, word)
    return _ALIASES.get(word, word)


def _singular(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith("ae"):
        return word[:-1]
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ss", "us", "is")) or word in _SINGULAR_IN_S or len(word) <= len("svc"):
        return word
    return word.removesuffix("s")


def _with_level(words: set[str]) -> set[str]:
    """Replace the words of a vertebra by its level: "first lumbar vertebra", "vertebra L1" and "L1" become {"l1"}."""
    numbers = {word for word in words if word.isdigit()}
    regions = words & _REGIONS.keys()
    if len(numbers) == len(regions) == 1:
        (number,), (region,) = numbers, regions
        words = (words - numbers - regions) | {_REGIONS[region] + number}
    if any(_LEVEL.match(word) for word in words):
        words = words - {"vertebra"}
    return words
