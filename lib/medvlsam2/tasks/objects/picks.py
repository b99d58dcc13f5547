"""The choice of one among several objects: the largest, the second largest, the highest, the densest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from medvlsam2.data.language.anatomy import is_numbered, next_above
from medvlsam2.data.query.objects import Pick
from medvlsam2.tasks.objects.things import Thing


def _height(thing: Thing) -> tuple[float, ...]:
    """Of vertebrae and ribs the place in their series: a lower rib may reach higher than the one above."""
    height_mm = float(thing.shape.centre_ras[2])
    return (float(-_number(thing.key)), height_mm) if is_numbered(thing.key) else (height_mm,)


def _number(key: str) -> int:
    """Steps from the first member of the series."""
    above = next_above(key)
    return 0 if above is None else 1 + _number(above)


def _backwards(places: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-place for place in places)


_BY: Final[Mapping[Pick, Callable[[Thing], tuple[float, ...]]]] = {
    "largest": lambda one: (one.kept.voxels,),
    "second largest": lambda one: (one.kept.voxels,),
    "smallest": lambda one: (-one.kept.voxels,),
    "highest": _height,
    "lowest": lambda one: _backwards(_height(one)),
    "leftmost": lambda one: (-float(one.shape.centre_ras[0]),),
    "rightmost": lambda one: (float(one.shape.centre_ras[0]),),
    "foremost": lambda one: (float(one.shape.centre_ras[1]),),
    "rearmost": lambda one: (-float(one.shape.centre_ras[1]),),
    "densest": lambda one: (one.mean_hu,),
    "least dense": lambda one: (-one.mean_hu,),
}
"""The object with the greatest of these is chosen. RAS: x grows to the right, y to the front, z to the head."""


def picked(things: Sequence[Thing], pick: Pick) -> Thing | None:
    """The chosen object; None where the second of fewer than two is asked for. Of equal ones the first is chosen.

    Args:
        things: at least one.
        pick: which one.
    """
    ordered = sorted(things, key=_BY[pick], reverse=True)
    place = 1 if pick == "second largest" else 0
    return ordered[place] if place < len(ordered) else None
