"""What was measured of a fact: its numbers with their units, as in its JSON."""

from __future__ import annotations

from typing import Final

from medvlsam2.data.fact_table.fact import Fact


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
