"""Rules of English grammar for generated sentences: articles, plurals, lists, numbers, capital letters.

The rules cover the words of the vocabulary and of the findings, not English in general. For example ``is_plural``
must know that "pancreas" and "biceps" are singular.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_IRREGULAR = {
    "metastasis": "metastases",
    "vertebra": "vertebrae",
    "diagnosis": "diagnoses",
    "atelectasis": "atelectases",
    "stenosis": "stenoses",
    "thrombus": "thrombi",
    "pneumothorax": "pneumothoraces",
    "calculus": "calculi",
    "bronchus": "bronchi",
    "humerus": "humeri",
    "testis": "testes",
    "biceps": "biceps",
}
_VOWEL_STARTS = ("ulc", "unus", "umb", "unr")
"""Starts of words with "u" that are spoken with a vowel ("an ulcer"); other words with "u" take "a" ("a uterus")."""
_SINGULAR_ENDINGS = ("us", "is", "as", "ss", "biceps", "pons", "ascites")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options; all have the same probability."""
    return options[int(rng.integers(len(options)))]


def shuffled(rng: np.random.Generator, options: Sequence[T]) -> list[T]:
    """Return the options in random order."""
    return [options[int(n)] for n in rng.permutation(len(options))]


def with_article(noun_phrase: str) -> str:
    """Return the phrase with "a" or "an", according to its pronunciation.

    Example:
        >>> with_article("abnormality"), with_article("8 mm cyst"), with_article("T8 vertebral fracture")
        ('an abnormality', 'an 8 mm cyst', 'a T8 vertebral fracture')
        >>> with_article("L2 vertebral fracture")
        'an L2 vertebral fracture'
    """
    number = re.match(r"\d+", noun_phrase)
    if number:
        vowel = number.group().startswith("8") or number.group() in ("11", "18")
    else:
        spelled = re.match(r"[LS]\d", noun_phrase) is not None
        vowel = spelled or noun_phrase[0].lower() in "aeio" or noun_phrase.lower().startswith(_VOWEL_STARTS)
    return f"{'an' if vowel else 'a'} {noun_phrase}"


def plural(noun: str) -> str:
    """Return the plural of a noun or of a noun phrase (its last word).

    Example:
        >>> plural("cyst"), plural("lung metastasis"), plural("biopsy")
        ('cysts', 'lung metastases', 'biopsies')
    """
    head, _, last = noun.rpartition(" ")
    lead = f"{head} " if head else ""
    if last in _IRREGULAR:
        return lead + _IRREGULAR[last]
    if re.search(r"[^aeiou]y$", last):
        return f"{lead}{last[:-1]}ies"
    if last.endswith(("s", "x", "ch", "sh")):
        return f"{lead}{last}es"
    return f"{lead}{last}s"


def is_plural(noun_phrase: str) -> bool:
    """Return whether a verb after the phrase must be plural.

    Example:
        >>> is_plural("lungs"), is_plural("pancreas"), is_plural("left kidney")
        (True, False, False)
    """
    last = re.split(r" (?:of|in|on|with) ", noun_phrase, maxsplit=1)[0].rpartition(" ")[2].lower()
    if last.endswith("ae") or last in ("testes", "bronchi"):
        return True
    return last.endswith("s") and not last.endswith(_SINGULAR_ENDINGS)


def be(noun_phrase: str) -> str:
    """Return "is" or "are", in the number of the noun phrase."""
    return "are" if is_plural(noun_phrase) else "is"


def join(items: Sequence[str], last: str = "and") -> str:
    """Return a list in words, with ``last`` before the last item.

    Example:
        >>> join(["liver", "spleen", "pancreas"])
        'liver, spleen and pancreas'
    """
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def count_word(count: int) -> str:
    """Return a number up to ten in words, a larger number in digits."""
    return _WORDS[count] if count < len(_WORDS) else str(count)


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[0].upper() + text[1:]


def sentence(text: str) -> str:
    """Return the text as a sentence: with a capital first letter and one full stop (or its question mark)."""
    text = text.strip()
    return capital(text) + ("" if text.endswith((".", "?")) else ".")


def millimetres(length_mm: float) -> str:
    """Return a length in the form of a dictated report: whole millimetres, at least one.

    Example:
        >>> millimetres(12.4)
        '12 mm'
    """
    return f"{max(1, round(length_mm))} mm"
