"""The units of measured values: how texts write them, and how people write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHOWN: Final[Mapping[str, str]] = {
    "mL": "mL",
    "L": "L",
    "mm": "mm",
    "cm": "cm",
    "HU": "HU",
    "%": "%",
    "cm2": "cm²",
    "mm3": "mm³",
    "": "",
}
"""Each unit of facts and queries as texts write it; "" is a ratio or a score."""
_ALSO: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ml", "cc", "ccm", "cm3", "cm³", "milliliters", "millilitres"), "mL"),
    **dict.fromkeys(("l", "liters", "litres"), "L"),
    **dict.fromkeys(("hu", "hounsfield units"), "HU"),
    **dict.fromkeys(("mm³", "cmm"), "mm3"),
    **dict.fromkeys(("cm²", "sq cm"), "cm2"),
}
"""Other ways to write a unit, in lower case."""


def unit_of(written: str) -> str:
    """Return the unit that a text writes; what is no unit is returned as it is.

    Example:
        >>> unit_of("cc"), unit_of("mm³"), unit_of("ML"), unit_of("mm"), unit_of("")
        ('mL', 'mm3', 'mL', 'mm', '')
    """
    plain = written.strip().lower()
    return _ALSO.get(plain, plain)
