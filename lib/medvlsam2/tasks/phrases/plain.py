"""Removal of additions to a name by software or annotators: "liver_1", "Spleen copy", "2 kidneys".

Viewers number and copy segments, and planning systems write names in one word ("SpinalCord", "Kidney_L"). Such an
addition does not describe the anatomy, so it is removed if a known name remains. A number after the name of a pair, a
rib, a vertebra or a finding ("kidney 1", "rib 3", "nodule 2") may choose one of several, so it is kept.
"""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_pair
from medvlsam2.tasks.phrases.wholes import is_series

_ADDED: Final = frozenset(
    {
        *("copy", "copied", "edited", "edit", "corrected", "final", "draft", "manual", "auto", "automatic", "new"),
        *("old", "seg", "segment", "segmentation", "mask", "label", "contour", "roi", "structure", "object", "test"),
    }
)
"""Words that describe the state of a segment and not its anatomy."""
_ADDED_LETTERS: Final = re.compile(r"v\d+|rev\d+|\d+")
_JOINED: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z]{3})(?=\d)")
"""Places where a capital letter or a number starts a new word without a space: "SpinalCord", "LKidney", "liver1"."""
_BOTH: Final = re.compile(r"(?:2|two)\s+(?:x\s+)?(?=\D)|(?<=\D)\s+x\s*2$", re.IGNORECASE)


def plain(text: str) -> str:
    """Return a phrase without the additions of software, if a known name remains; else with spaces for underscores.

    Example:
        >>> plain("liver_1"), plain("Spleen copy (2)"), plain("2 kidneys"), plain("the largest cyst")
        ('liver', 'Spleen', 'kidneys', 'the largest cyst')
    """
    if vocabulary.lookup(text) is not None:
        return text
    spaced = text.replace("_", " ")
    for words in (spaced, _JOINED.sub(" ", spaced)):
        name = _known(words)
        if name is not None:
            return name
    return spaced


def _known(words: str) -> str | None:
    """Return the known name within some words; None if there is none."""
    if vocabulary.lookup(words) is not None:
        return words
    both = _BOTH.sub("", words.strip())
    pair = vocabulary.lookup(both)
    if both != words.strip() and pair is not None and is_pair(pair.key):
        return both
    kept = [word for word in re.split(r"[\s\-()\[\]#.]+", words) if word and not _is_added(word)]
    name = " ".join(kept)
    known = vocabulary.lookup(name) if kept else None
    if known is None or (_has_number(words) and _is_counted(known)):
        return None
    return name


def _is_added(word: str) -> bool:
    return word.casefold() in _ADDED or _ADDED_LETTERS.fullmatch(word.casefold()) is not None


def _has_number(words: str) -> bool:
    return re.search(r"\d", words) is not None


def _is_counted(known: vocabulary.Structure) -> bool:
    """Return whether a number after this name may choose one of several objects."""
    return known.is_finding or is_pair(known.key) or is_series(known)
