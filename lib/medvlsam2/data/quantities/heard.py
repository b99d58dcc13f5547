"""A text read back as a value with its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from medvlsam2.data.quantities.told import IN_JSON, as_in_json, number, usual_decimals
from medvlsam2.data.quantities.units import SHOWN, unit_of

_TEXT: Final = re.compile(r"(?P<digits>-?\d[\d,]*(?:\.(?P<decimals>\d+))?)\s?(?P<unit>[a-zA-Z%²³]+[23]?)?", re.ASCII)


@dataclass(frozen=True)
class Heard:
    """What a text tells."""

    value: float
    unit: str
    half_step: float
    """Half of the last digit that is shown: the value that was told differs by at most this."""


def heard(text: str) -> Heard | None:
    """Return the value that a text tells; None if it is no single value with a known unit.

    Example:
        >>> heard("1,121 mL"), heard("459 mm³")
        (Heard(value=1121.0, unit='mL', half_step=0.5), Heard(value=459.0, unit='mm3', half_step=0.5))
        >>> heard("about a litre") is None
        True
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        return None
    unit = unit_of(found["unit"] or "")
    if unit not in SHOWN:
        return None
    return Heard(float(found["digits"].replace(",", "")), unit, 0.5 * 10.0 ** -len(found["decimals"] or ""))


def is_told(digits: str, value: float, unit: str) -> bool:
    """Return whether digits are a value as texts tell it: rounded, with the usual decimals or with more, or exact.

    Example:
        >>> is_told("147", 146.6, "mm"), is_told("146.6", 146.6, "mm"), is_told("146", 146.6, "mm")
        (True, True, False)
        >>> is_told("4", 4.06, "mL")
        False
    """
    decimals = len(digits.partition(".")[2])
    if decimals > IN_JSON[unit] or digits != number(value, unit, decimals):
        return False
    return decimals >= usual_decimals(value, unit) or float(digits.replace(",", "")) == as_in_json(value, unit)


def told_in(text: str, value: float, unit: str) -> bool:
    """Return whether a text holds a value, rounded to as many decimals as stand there.

    Of two axes ("12 × 9 mm") both have the unit behind the second.

    Example:
        >>> told_in("A cyst of 12 × 9 mm is seen.", 12.3, "mm"), told_in("The spleen (248 mL) is seen.", 24.8, "mL")
        (True, False)
    """
    for found in _IN_TEXT.finditer(text):
        digits, written = found[1], found[2] or ""
        if unit_of(written) == unit and digits == number(value, unit, len(digits.partition(".")[2])):
            return True
    return False


_IN_TEXT: Final = re.compile(
    r"(?<![\w.,-])(-?\d[\d,]*(?:\.\d+)?)(?![\d.]*\d)(?: × [\d.,]+)?(?: ?(mm³|cm²|mL|L|mm|cm|HU|%)(?![\w²³]))?"
    r"(?=[^\d]|$)"
)
