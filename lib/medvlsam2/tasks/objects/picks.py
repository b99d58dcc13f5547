"""The choice of one among several objects: the largest, the second largest, the highest, the densest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from medvlsam2.data.query.objects import Pick
from medvlsam2.tasks.objects.things import Thing

_BY: Final[Mapping[Pick, Callable[[Thing], float]]] = {
    "largest": lambda one: one.kept.voxels,
    "second largest": lambda one: one.kept.voxels,
    "smallest": lambda one: -one.kept.voxels,
    "highest": lambda one: float(one.shape.centre_ras[2]),
    "lowest": lambda one: -float(one.shape.centre_ras[2]),
    "leftmost": lambda one: -float(one.shape.centre_ras[0]),
    "rightmost": lambda one: float(one.shape.centre_ras[0]),
    "foremost": lambda one: float(one.shape.centre_ras[1]),
    "rearmost": lambda one: -float(one.shape.centre_ras[1]),
    "densest": lambda one: one.mean_hu,
    "least dense": lambda one: -one.mean_hu,
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
