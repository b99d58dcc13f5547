"""Numbers of answers in words: as many digits as a reader needs, with the unit."""

from __future__ import annotations

from typing import Final

SHOWN_UNITS: Final = {"cc": "mL", "ml": "mL", "cm3": "mL", "cm³": "mL", "milliliters": "mL", "millilitres": "mL"}
"""Units that a question may use for a unit of the query language."""


def told(value: float, unit: str) -> str:
    """Return a value with its unit, rounded for reading; the JSON beside it has all decimals of the fact.

    Example:
        >>> told(1121.348, "mL"), told(0.0234, "mL"), told(147.2, "mm"), told(8.42, "mm")
        ('1,121 mL', '0.02 mL', '147 mm', '8.4 mm')
        >>> told(0.638, ""), told(63.8, "%"), told(1.1213, "L"), told(-3.2, "HU")
        ('0.64', '64%', '1.12 L', '-3 HU')
    """
    number = f"{value:,.{_decimals(value, unit)}f}"
    if float(number.replace(",", "")) == 0:
        number = number.lstrip("-")
    return f"{number}{'' if unit in ('', '%') else ' '}{unit}"


def _decimals(value: float, unit: str) -> int:
    size = abs(value)
    if unit == "HU":
        return 0
    if unit == "mL":
        return 0 if size >= 100 else 1 if size >= 1 else 2 if size >= 0.01 or size == 0 else 3
    if unit == "L":
        return 2 if size >= 0.1 or size == 0 else 3
    if unit == "mm":
        return 0 if size >= 10 or size == 0 else 1
    if unit in ("cm", "%"):
        return 0 if unit == "%" and (size >= 10 or size == 0) else 1
    return 2
