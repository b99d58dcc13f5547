"""Reduction of a phrase to the set of plain words by which structure names are compared.

The steps of :func:`plain_words`: small letters without accents; no punctuation; "third" and "3rd" as "3"; a vertebral
level in one notation; singular; American spelling; one word for an organ, its adjective and its Latin name; and no
words that do not change the meaning. "Lt. kidneys" and "renal left" both become {"left", "kidney"}.
"""

from __future__ import annotations

import re
import unicodedata

from medvlsam2.data.structures.table import ORDINALS

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
ALIASES = {
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


def plain_words(text: str) -> frozenset[str]:
    """Return the set of plain words of a phrase.

    Example:
        >>> sorted(plain_words("Lt. kidneys")), sorted(plain_words("third lumbar vertebra"))
        (['kidney', 'left'], ['l3'])
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['’]s\b", " ", plain)
    plain = re.sub(r"[^a-z0-9]+", " ", plain)
    plain = re.sub(r"\b0+(?=\d)", "", plain)  # "rib 03" -> "rib 3"
    plain = re.sub(r"\b(\d+) ?(?:st|nd|rd|th)\b", r"\1", plain)  # "3rd" -> "3"
    plain = re.sub(r"\b(?:th|d) ?(?=\d)", "t", plain)  # "Th 12", "D12" (dorsal) -> "t12"
    plain = re.sub(r"\bl(?= spine\b)", "lumbar", plain)
    if re.search(r"\b(?:ribs?|costae?)(?:\b|\d)", plain):
        plain = re.sub(r"([a-z])(?=\d)", r"\1 ", plain)  # "rib3" -> "rib 3"
    else:
        plain = re.sub(r"\b([ctls]) (?=\d)", r"\1", plain)  # "L 1" -> "l1"
    words = {_NUMBERS.get(word, word) for word in map(_word, plain.split())} - _FILLERS
    if words >= _SIDES:
        words -= _SIDES  # "left and right kidney" means both, as "kidney" does
    return frozenset(_with_level(words))


def _word(word: str) -> str:
    """Return a word in the singular, in American spelling, and as the organ if it is an adjective or a Latin term."""
    word = _singular(word)
    for pattern, replacement in _BRITISH:
        word = pattern.sub(replacement, word)
    return ALIASES.get(word, word)


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
