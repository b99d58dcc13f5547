"""The name that is meant where software or an annotator has added to it: "liver_1", "Spleen copy", "2 kidneys".

Viewers number and copy segments, and planning systems write names in one word ("SpinalCord", "Kidney_L"). What is added
says nothing of the anatomy, so it is taken away where a known name is left. Numbers of a pair, of ribs, vertebrae and
findings ("kidney 1", "rib 3", "nodule 2") may say which one is meant, and stay.
"""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.tasks.phrases.wholes import is_pair, is_series

_ADDED: Final = frozenset(
    {
        *("copy", "copied", "edited", "edit", "corrected", "final", "draft", "manual", "auto", "automatic", "new"),
        *("old", "seg", "segment", "segmentation", "mask", "label", "contour", "roi", "structure", "object", "test"),
    }
)
"""Words that tell what became of a segment, not what it is."""
_ADDED_LETTERS: Final = re.compile(r"v\d+|rev\d+|\d+")
_JOINED: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z]{3})(?=\d)")
"""Where a capital or a number begins a word without a blank: "SpinalCord", "LKidney", "liver1"."""
_BOTH: Final = re.compile(r"(?:2|two)\s+(?:x\s+)?(?=\D)|(?<=\D)\s+x\s*2$", re.IGNORECASE)


def plain(text: str) -> str:
    """A phrase without what software adds to names, where that leaves a known name; else with blanks between words.

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
    """The known name in some words; None where there is none."""
    if vocabulary.lookup(words) is not None:
        return words
    both = _BOTH.sub("", words.strip())
    pair = vocabulary.lookup(both)
    if both != words.strip() and pair is not None and is_pair(pair):
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
    """Whether a number may tell one of several."""
    return known.is_finding or is_pair(known) or is_series(known)
