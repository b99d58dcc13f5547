"""Names of structures and findings that the words of a question can mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy

LONGEST: Final = 6
"""Words of the longest name that is looked up, such as "right middle lobe of the lung"."""


def linked(question: str) -> tuple[str, ...]:
    """Return the vocabulary keys of all names in a question, the longest name first at each place.

    A pair stands for both of its sides too, and a side for its pair.

    Example:
        >>> linked("How large is the left kidney compared with the liver?")
        ('kidney_left', 'kidneys', 'liver')
    """
    return tuple(dict.fromkeys(key for name in _named(question) for key in _with_sides(name)))


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


def _with_sides(key: str) -> tuple[str, ...]:
    if anatomy.is_pair(key):
        return (key, *vocabulary.STRUCTURES[key].parts)
    pair = anatomy.pair(key)
    return (key,) if pair is None else (key, pair)
