"""Numbers in sentences: one rounding for all texts, so that a text and the JSON of the facts never disagree.

A number of a text is rounded from the number of the facts' JSON, and not from the full precision, because a reader who
rounds the JSON must come to the same text.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from medvlsam2.data.fact_table.fact import Fact

SMALL: Final = 10
"""Below this many units a volume, an area and a share have one decimal and a plain number has two, because whole units
would be too coarse."""
_FINE_UNITS: Final = frozenset({"mL", "cm2", "%"})
SHOWN_UNITS: Final = {"cm2": "cm²", "mm3": "mm³"}
"""Units as texts write them, where the facts write them without the sign."""
_RATIO_STEP: Final = Decimal("0.01")
"""Small numbers without a unit are ratios, which radiologists tell with two decimals."""


def rounded(value: float, unit: str) -> str:
    """Return a number as texts show it: halves are rounded up, as people round.

    Example:
        >>> rounded(146.5, "mm"), rounded(62.44, "mL"), rounded(4.06, "mL"), rounded(0.556, "")
        ('147', '62', '4.1', '0.56')
        >>> rounded(0.02, "mL"), rounded(-3.5, "HU")
        ('0.1', '-4')
    """
    exact = Decimal(repr(value))
    if not unit and abs(exact) < SMALL:
        return str(exact.quantize(_RATIO_STEP, ROUND_HALF_UP))
    if unit in _FINE_UNITS and abs(exact) < SMALL:
        tenths = exact.quantize(Decimal("0.1"), ROUND_HALF_UP)
        return str(tenths if unit == "%" else max(tenths, Decimal("0.1")))
    whole = exact.quantize(Decimal(1), ROUND_HALF_UP)
    return str(max(whole, Decimal(1)) if unit == "mm" else whole)


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit: "147 mm", "12 %", "0.56"."""
    shown = SHOWN_UNITS.get(unit, unit)
    return f"{rounded(value, unit)} {shown}".rstrip()


def measures(fact: Fact) -> dict[str, tuple[float, str]]:
    """Return what was measured of a fact: number and unit by the fact's field, rounded as in its JSON."""
    told = fact.to_json()
    units = {name: unit for name, unit in _UNITS.items() if name in told}
    units |= {name: fact.unit for name in ("value", "threshold") if name in told}
    return {name: (told[name], unit) for name, unit in units.items()}


_UNITS: Final = {
    "volume_ml": "mL",
    "longest_mm": "mm",
    "short_axis_mm": "mm",
    "length_mm": "mm",
    "height_mm": "mm",
    "mean_hu": "HU",
}
