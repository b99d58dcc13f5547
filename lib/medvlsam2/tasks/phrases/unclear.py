"""Refusal of phrases that the model would misread.

The model finds the object that a phrase names. The model does not exclude what a phrase excludes ("not the liver"). It
knows only the patient's sides, not those of a picture. It cannot choose one of a pair by a comparison ("the larger
kidney"). For such a phrase the model would return a confident mask of a wrong object.
"""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_pair
from medvlsam2.data.structures.table import ORDINALS
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.wholes import is_series

SHOWN: Final = 80
"""Most characters of a phrase that an error text repeats."""
_NEGATION: Final = re.compile(
    r"\b(?:not|no(?!\W*\d)|none|without|w/o|sans|ohne|nicht|kein\w*|sin|except(?:ing)?|exclud\w+|excl|"
    r"(?:other|rather) than|(?:apart|aside) from|instead of|minus|subtract\w*|neither|nor|never|but|lack(?:s|ing)|"
    r"(?:free|absence|devoid) (?:of|from)|negative for|spar(?:ed|es|ing)|outside|non(?=-))\b|n['’]t\b|"
    r"\b\w+-(?:free|negative)\b",
    re.IGNORECASE,
)
"""Words of exclusion. The model would find the excluded object, because the phrase names it. "no" before a number is
not an exclusion: "rib no. 3"."""
_MINUS: Final = re.compile(r"\s+[-−–—]\s+|\s*[-−–—]\s*(?=i?[gcp]tv|itv)|(?<=[gcpi]tv)\s*[-−–—]\s*", re.IGNORECASE)
"""A dash that means "minus" in radiotherapy: "Lungs-GTV" are the lungs without the tumour (gross tumour volume)."""
_SIDE: Final = r"(?:left|right|lt|rt)(?:-?hand)?"
_SCREEN: Final = r"(?:image|picture|screen|display|monitor|viewer|viewport|view|window|film|slice|scan)"
_VIEWERS_SIDE: Final = re.compile(
    rf"\b{_SCREEN}(?:['’]s)?[- ]+{_SIDE}\b|\b(?:my|your|observer['’]?s?|reader['’]?s?|radiologi\w+) {_SIDE}\b|"
    rf"\b{_SIDE}(?:[- ]sided?| half| part| edge)?,? (?:(?:of|in|on) )?(?:(?:the|this|my|your) )?{_SCREEN}\b|"
    rf"\b{_SIDE}\b.*\bas (?:seen|shown|displayed|viewed)\b|\b(?:mirrored|flipped)\b",
    re.IGNORECASE,
)
_BESIDE: Final = re.compile(
    rf"\b{_SIDE},? (?:of|to|from|than) (?!(?:the )?(?:patient|body|midline))|\b(?:between|opposite|near(?:est)?|beside|"
    r"next to|adjacent|adjoining|touching|above|below|under|underneath|beneath|over|behind|around|surround(?:s|ing)|"
    r"close to|(?:in )?front of|(?:anterior|posterior|lateral|medial|superior|inferior|cranial|caudal|proximal|distal) "
    r"(?:to|of))\b",
    re.IGNORECASE,
)
"""Words that describe a place by another structure: "the kidney to the right of the spine". The model finds the left
kidney for "organ above the left kidney", with confidence 0.99, and the spleen for "organ between the liver and the
spleen"."""
_WHICH: Final = re.compile(
    r"\b(?:other|opposite|contralateral|ipsilateral|(?:un)?affected|(?:un)?involved|healthy|diseased|normal|abnormal|"
    r"same|larger|largest|bigger|biggest|smaller|smallest|upper|lower|higher|lowest|highest|either|single|only|worse|"
    r"better|brighter|darker|denser|nearer|farther|next|last|one|two|three|\d+(?:st|nd|rd|th)?|"
    rf"{'|'.join(ORDINALS)})\b",
    re.IGNORECASE,
)
"""Words that choose one of several. The model finds both kidneys for "the larger kidney", with confidence 0.81."""
_REAL_WORDS: Final = frozenset(
    {
        *("light", "bright", "tight", "eight", "sight", "night", "might", "fight", "height", "wright", "weight"),
        *("lift", "loft", "let", "cleft", "heft", "lest", "lent", "leaf", "lefts", "rights", "upright"),
    }
)
"""English words that differ from "left" or "right" by one letter and are not misspellings of them."""


class NotOneObject(InvalidPrompt):
    """A phrase that excludes, compares or places by another structure: no mask of one name answers it."""


def require_clear(phrase: str) -> None:
    """Refuse a phrase that the model would misread.

    Raises:
        NotOneObject: if the phrase excludes something, names a place by another structure, or chooses one of a pair
            by a comparison. Such a phrase may still be composed (:mod:`medvlsam2.tasks.phrases.reading`).
        InvalidPrompt: if it names a side of the picture, or misspells a side.
    """
    whole = re.sub(r"\s+", " ", phrase.replace("_", " ")).strip()
    if vocabulary.lookup(plain(whole)) is not None and _MINUS.search(whole) is None:
        return
    require_sides(phrase)
    for refusal in (_negated, _beside_another, _one_of_a_pair):
        sentence = refusal(whole)
        if sentence is not None:
            raise NotOneObject(f"'{short(whole)}' {sentence}")


def require_sides(phrase: str) -> None:
    """Refuse a phrase that names a side of the picture, or misspells a side. No way of reading may allow that.

    Raises:
        InvalidPrompt: if it does.
    """
    whole = re.sub(r"\s+", " ", phrase.replace("_", " ")).strip()
    if vocabulary.lookup(plain(whole)) is not None:
        return
    for refusal in (_of_the_picture, _misspelt):
        sentence = refusal(whole)
        if sentence is not None:
            raise InvalidPrompt(f"'{short(whole)}' {sentence}")


def subtracts(phrase: str) -> bool:
    """Return whether a dash stands for "minus", as in "Lungs-GTV"; such a phrase is only ever refused."""
    return _MINUS.search(phrase) is not None


def short(text: str) -> str:
    """Return a phrase in the form that an error text shows: at most SHOWN characters.

    Example:
        >>> short("liver"), len(short("liver " * 500))
        ('liver', 80)
    """
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _negated(whole: str) -> str | None:
    found = _NEGATION.search(whole)
    dash = _MINUS.search(whole)
    if found is None and (dash is None or not _is_difference(whole, dash)):
        return None
    word = found.group() if found is not None else "-"
    return (
        f"excludes something with '{word}', but the model finds every object that a phrase names. Name only what is "
        "wanted, e.g. 'left kidney' rather than 'the kidney that is not on the right'."
    )


def _is_difference(whole: str, dash: re.Match[str]) -> bool:
    """Return whether a dash stands between two known names ("liver - tumor", but not "spleen - corrected")."""
    ends = whole[: dash.start()], whole[dash.end() :]
    return all(vocabulary.lookup(end) is not None or re.search("[gcpi]tv", end, re.IGNORECASE) for end in ends)


def _of_the_picture(whole: str) -> str | None:
    if _VIEWERS_SIDE.search(whole) is None:
        return None
    return (
        "names a side of the picture. Here left and right are the patient's sides; most pictures show the patient's "
        "left on their right. Write the patient's side and the name alone, e.g. 'left kidney'."
    )


def _beside_another(whole: str) -> str | None:
    found = _BESIDE.search(whole)
    if found is None or any(_is_finding(word) for word in whole[: found.start()].split()):
        return None
    return (
        f"describes with '{found.group().strip()}' a place by another structure, and the model would find that "
        "structure. Name what is wanted, with the patient's side, e.g. 'left kidney', or click on it."
    )


def _is_finding(word: str) -> bool:
    known = vocabulary.lookup(word)
    return known is not None and known.is_finding


def _one_of_a_pair(whole: str) -> str | None:
    chosen = _WHICH.search(whole)
    several = None if chosen is None else vocabulary.lookup(_WHICH.sub(" ", whole))
    if chosen is None or several is None or several.is_finding or several.side is not None:
        return None
    if not (is_pair(several.key) or is_series(several)):
        return None
    return (
        f"chooses with '{chosen.group()}' one of the {several.name}, but the model would find all of them. Name the "
        f"one that is wanted, e.g. '{vocabulary.STRUCTURES[several.parts[0]].name}', or click on it."
    )


def _misspelt(whole: str) -> str | None:
    for word in re.findall(r"[^\W\d_]+", whole.casefold()):
        meant = next((side for side in ("left", "right") if _is_one_letter_off(word, side)), None)
        if meant is not None and word not in _REAL_WORDS and vocabulary.lookup(word) is None:
            return f"holds '{word}'. Did you mean '{meant}'? Write the side in full, because it decides what is found."
    return None


def _is_one_letter_off(word: str, correct: str) -> bool:
    """Return whether one letter is missing, additional or wrong, or two neighbouring letters are swapped."""
    if word == correct or abs(len(word) - len(correct)) > 1:
        return False
    letters = enumerate(zip(word, correct, strict=False))
    start = next((n for n, (a, b) in letters if a != b), min(len(word), len(correct)))
    rest, wanted = word[start:], correct[start:]
    swapped = rest[1::-1] + rest[2:] == wanted
    return swapped or rest[1:] == wanted or rest == wanted[1:] or rest[1:] == wanted[1:]
