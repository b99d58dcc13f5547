"""Structures and findings that a question names with their own names, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from medvlsam2.data import vocabulary

LONGEST: Final = 6
"""Words of the longest name that is looked up, such as "right middle lobe of the lung"."""


def named_in(question: str) -> tuple[str, ...]:
    """Return the vocabulary keys of the names in a question, each once; at each place the longest name counts.

    Example:
        >>> named_in("Which is visible: the left kidney, the liver or the brain?")
        ('kidney_left', 'liver', 'brain')
    """
    return tuple(dict.fromkeys(_named(question)))


def _named(question: str) -> Iterator[str]:
    words = re.findall(r"[A-Za-z0-9']+", question)
    start = 0
    while start < len(words):
        lengths = range(min(LONGEST, len(words) - start), 0, -1)
        found = ((length, vocabulary.lookup(" ".join(words[start : start + length]))) for length in lengths)
        length, known = next(((length, each) for length, each in found if each is not None), (1, None))
        if known is not None:
            yield known.key
        start += length
