"""Vertebrae and ribs that a text names together are written out: "L1 to L3" is "L1, L2 and L3".

German levels ("LWK 3") are written as English ones. Two levels with "to" between them are only the first and the last
one where a text measures or compares: "distance from L1 to L3".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.structures.table import ORDINALS

_GERMAN: Final = {"lwk": "L", "bwk": "T", "hwk": "C"}
_REGION: Final = {"d": "T", "th": "T", "t": "T", "l": "L", "c": "C", "s": "S"}
_RANGE: Final = re.compile(r"[-–]|to|thru|through|until|till", re.IGNORECASE)
_BETWEEN: Final = r"\s*(?:[-–/+&]|,\s*and\b|,|\band\b|\bto\b|\bthru\b|\bthrough\b|\buntil\b|\btill\b)\s*"
_NO_AMOUNT: Final = r"(?![\w.]|\s*(?:mm|cm|ml|hu|%|milli|centi|years?|days?|weeks?|months?|yo\b))"
_LEVEL: Final = r"(?:vertebra\s+)?(?:th|[tdlcs])-?\d{1,2}"
_LEVELS: Final = re.compile(rf"\b{_LEVEL}(?:{_BETWEEN}(?:{_LEVEL}|\d{{1,2}}){_NO_AMOUNT})+", re.IGNORECASE)
_ORDINAL: Final = rf"(?:\d{{1,2}}(?:st|nd|rd|th)|{'|'.join(ORDINALS)})"
_SIDE: Final = r"(?:(?:on the |on |the )?(?P<{name}>left|right|lt|rt)\b(?: side)?)"
_RIBS: Final = re.compile(
    rf"(?:{_SIDE.format(name='before')}\s+)?\bribs\s+(?P<numbers>\d{{1,2}}(?:{_BETWEEN}\d{{1,2}}{_NO_AMOUNT})+)"
    rf"(?:\s+{_SIDE.format(name='after')})?",
    re.IGNORECASE,
)
_RIBS_LAST: Final = re.compile(
    rf"(?:{_SIDE.format(name='before')}\s+)?\b(?P<numbers>{_ORDINAL}(?:{_BETWEEN}(?:the )?{_ORDINAL})+)"
    rf"\s+(?:(?P<middle>left|right|lt|rt)\s+)?ribs?\b(?:\s+{_SIDE.format(name='after')})?",
    re.IGNORECASE,
)
_TWO_PLACES: Final = re.compile(
    r"\b(?:from|distance|far|close|near\w*|between|ratio|compar\w+|relative|versus|vs|differ\w*|larger|bigger|"
    r"smaller|longer|shorter|denser|more|less|next|touch\w*|adjacent|extend\w*|reach\w*|go|goes|span\w*|level)\b",
    re.IGNORECASE,
)
"""Words with which "L1 to L3", or "L1/L3", may name two vertebrae and not a range."""


def written_out(text: str) -> str:
    """Return a text with the vertebrae and ribs that it names together written one by one.

    Example:
        >>> written_out("volume of L1 thru L3"), written_out("left ribs 5 and 6"), written_out("T11/12")
        ('volume of L1, L2 and L3', 'left rib 5 and left rib 6', 'T11 and T12')
        >>> written_out("distance from L1 to L3"), written_out("BWK 12")
        ('distance from L1 to L3', 'T12')
    """
    text = re.sub(r"\b(lwk|bwk|hwk)[\s-]?(\d{1,2})\b", lambda one: _GERMAN[one[1].lower()] + one[2], text, flags=re.I)
    if _TWO_PLACES.search(text) is not None:
        return text
    return _RIBS_LAST.sub(_ribs, _RIBS.sub(_ribs, _LEVELS.sub(lambda found: _levels(found[0]), text)))


def _levels(listed: str) -> str:
    """A list of levels, one by one; the list itself if one of them is no vertebra."""
    plain = re.sub(r"\bvertebra\s+|(?<=[a-z])-(?=\d)", "", listed, flags=re.IGNORECASE)
    parts = re.split(f"({_BETWEEN})", plain, flags=re.IGNORECASE)
    order, found, region = _series(), list[str](), ""
    for number in range(0, len(parts), 2):
        letters, digits = re.fullmatch(r"([a-z]*)(\d+)", parts[number].lower()).groups()  # type: ignore[union-attr]
        region = _REGION.get(letters, region)
        level = f"{region}{int(digits)}"
        if level not in order:
            return listed
        if number and _RANGE.fullmatch(parts[number - 1].strip()):
            first, last = order.index(found[-1]), order.index(level)
            found += order[first + 1 : last + 1] if last > first else reversed(order[last:first])
        else:
            found.append(level)
    return _joined(found)


def _ribs(listed: re.Match[str]) -> str:
    sides = {each for name, each in listed.groupdict().items() if name != "numbers" and each is not None}
    parts = re.split(f"({_BETWEEN})", listed["numbers"], flags=re.IGNORECASE)
    found: list[int] = []
    for place in range(0, len(parts), 2):
        number = _number(parts[place])
        if f"rib_left_{number}" not in vocabulary.STRUCTURES:
            return listed[0]
        if place and _RANGE.fullmatch(parts[place - 1].strip()) and found[-1] < number:
            found += range(found[-1] + 1, number + 1)
        else:
            found.append(number)
    if len(sides) > 1:
        return listed[0]
    side = f"{sides.pop()} " if sides else ""
    return _joined([f"{side}rib {number}" for number in found])


def _number(text: str) -> int:
    word = text.lower().removeprefix("the ").strip()
    return ORDINALS.index(word) + 1 if word in ORDINALS else int(re.sub(r"\D", "", word))


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@cache
def _series() -> tuple[str, ...]:
    """Levels of vertebrae from head to foot."""
    return tuple(key.removeprefix("vertebrae_") for key in vocabulary.STRUCTURES if key.startswith("vertebrae_"))
