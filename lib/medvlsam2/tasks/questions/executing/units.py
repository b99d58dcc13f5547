"""Units of measures: which unit a measure has, and its conversion into the unit that was asked for."""

from __future__ import annotations

from typing import Final

from medvlsam2.data.query.queries import Measure, Unit

USUAL: Final[dict[Measure, Unit]] = {"volume": "mL", "length": "mm", "short axis": "mm", "density": "HU"}
"""The unit of each measure of a fact."""
_IN_USUAL: Final[dict[Unit, tuple[Unit, float]]] = {
    "mL": ("mL", 1.0),
    "L": ("mL", 1000.0),
    "mm": ("mm", 1.0),
    "cm": ("mm", 10.0),
    "HU": ("HU", 1.0),
}
"""Each unit with the usual unit of its kind, and how many of those it is."""


def is_unit_of(unit: str, measure: Measure) -> bool:
    """Return whether a measure can be told in a unit.

    Example:
        >>> is_unit_of("L", "volume"), is_unit_of("mm", "volume")
        (True, False)
    """
    return unit in _IN_USUAL and _IN_USUAL[unit][0] == USUAL[measure]


def converted(value: float, given: Unit, wanted: Unit) -> float:
    """Return a value in another unit of the same kind.

    Example:
        >>> converted(1121.0, "mL", "L"), converted(2.5, "cm", "mm")
        (1.121, 25.0)
    """
    assert _IN_USUAL[given][0] == _IN_USUAL[wanted][0], f"{given} and {wanted} are units of different kinds"
    return value * _IN_USUAL[given][1] / _IN_USUAL[wanted][1]


def are_of_one_kind(first: str, second: str) -> bool:
    """Return whether one unit can be converted into the other."""
    return first == second or (
        first in _IN_USUAL and second in _IN_USUAL and _IN_USUAL[first][0] == _IN_USUAL[second][0]
    )
