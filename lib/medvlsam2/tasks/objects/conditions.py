"""Conditions on objects: where they lie, on which side, and how large they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from medvlsam2.data.language import anatomy
from medvlsam2.data.query.objects import OfSize, OnSide, Relation
from medvlsam2.data.structures.table import Side
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.objects.middle import side_of
from medvlsam2.tasks.objects.shapes import Axis, Shape
from medvlsam2.tasks.objects.things import Thing, is_counted
from medvlsam2.tasks.phrases.wholes import held_by

IN_SHARE: Final = 0.5
"""An object lies in a place if at least this share of it does."""
IN_GAP_MM: Final = 10.0
"""A lesion that is known to lie in an organ may stick out of the organ's mask, but is no farther away than this."""
AT_LEVEL_SHARE: Final = 0.5
"""An object lies at the level of a place if they share at least this part of the height of the less high one."""
LAST: Final[tuple[Relation, ...]] = ("nearest to", "farthest from")
"""Relations that choose one object; they are taken after all other conditions."""
_DIRECTIONS: Final[Mapping[Relation, tuple[Axis, float]]] = {
    "above": (2, 1.0),
    "below": (2, -1.0),
    "left of": (0, -1.0),
    "right of": (0, 1.0),
    "in front of": (1, 1.0),
    "behind": (1, -1.0),
    "next above": (2, 1.0),
    "next below": (2, -1.0),
}
"""Axis of the patient and the sign towards the direction (RAS: x grows to the right, y to the front, z to the head)."""


def related(things: Sequence[Thing], relation: Relation, place: Thing, *, are_many: bool) -> list[Thing]:
    """The objects in a relation to a place; of one object, for "in" and "at the level of", the part of it.

    Args:
        things: the objects.
        relation: to the place.
        place: the other object.
        are_many: whether the name can mean several objects.
    """
    return _RELATED[relation](things, relation, place, are_many)


def on_side(things: Sequence[Thing], condition: OnSide, facts: Facts) -> list[Thing] | None:
    """The objects on one side of the body; None where nothing tells left from right.

    Args:
        things: the objects.
        condition: which side.
        facts: of the scan.
    """
    sides: list[Side | None] = [side_of(thing, facts) for thing in things]
    if None in sides:
        return None
    return [thing for thing, side in zip(things, sides, strict=True) if side == condition.side]


def of_size(things: Sequence[Thing], condition: OfSize) -> list[Thing]:
    """The objects whose longest diameter is more, or less, than a limit.

    Args:
        things: the objects.
        condition: the limit.
    """
    sign = 1 if condition.size == "larger than" else -1
    return [thing for thing in things if sign * thing.longest_mm > sign * condition.diameter_mm]


def _in(things: Sequence[Thing], relation: Relation, place: Thing, are_many: bool) -> list[Thing]:
    del relation
    if are_many:
        return [thing for thing in things if is_in(thing, place)]
    return _cut(things, lambda thing: thing.shape.common(place.shape))


def is_in(thing: Thing, place: Thing) -> bool:
    """Whether an object lies in a place: most of it does, or it is known to lie there and is not far away."""
    if thing.shape.share_in(place.shape.filled) >= IN_SHARE:
        return True
    is_host = thing.host is not None and (thing.host == place.key or thing.host in held_by(place.key))
    return is_host and thing.shape.distance_mm(place.shape) <= IN_GAP_MM


def _beyond(things: Sequence[Thing], relation: Relation, place: Thing, are_many: bool) -> list[Thing]:
    """Those whose centre lies beyond the place's end; if there are none, beyond the place's centre."""
    del are_many
    axis, sign = _DIRECTIONS[relation]
    outside = [thing for thing in things if thing.shape.share_in(place.shape) < IN_SHARE]
    found = {limit: [one for one in outside if _is_beyond(one, place.shape, axis, sign, limit)] for limit in _LIMITS}
    return next((kept for kept in found.values() if kept), [])


_LIMITS: Final[tuple[Callable[[np.ndarray], float], ...]] = (np.max, np.mean)
"""Limits that a centre must pass, the stricter first: the end of a place along the direction, then its middle."""


def _is_beyond(thing: Thing, place: Shape, axis: Axis, sign: float, limit: Callable[[np.ndarray], float]) -> bool:
    along = sign * _at_level_of(thing.shape, place, axis)[:, axis]
    return bool(sign * thing.shape.centre_ras[axis] > limit(along))


def _at_level_of(shape: Shape, place: Shape, axis: Axis) -> np.ndarray:
    """The place's surface, for left, right, front and back only at the object's own level if it is seen there."""
    surface = place.surface_ras
    if axis == 2:
        return surface
    low, high = shape.ends_mm(2)
    beside = surface[(surface[:, 2] >= low) & (surface[:, 2] <= high)]
    return beside if len(beside) else surface


def _touching(things: Sequence[Thing], relation: Relation, place: Thing, are_many: bool) -> list[Thing]:
    del relation, are_many
    return [thing for thing in things if thing.shape.touches(place.shape)]


def _at_level(things: Sequence[Thing], relation: Relation, place: Thing, are_many: bool) -> list[Thing]:
    """Lesions, vertebrae and ribs that lie there; of everything else, of the two of a pair too, the part that does."""
    del relation, are_many
    low, high = place.shape.ends_mm(2)
    chosen = [one for one in things if is_counted(one.key) and one.shape.share_between(low, high) >= AT_LEVEL_SHARE]
    others = [one for one in things if not is_counted(one.key)]
    return [*chosen, *_cut(others, lambda one: one.shape.between(2, low - _HAIR_MM, high + _HAIR_MM))]


_HAIR_MM: Final = 1e-3
"""So that voxels whose centres lie at the very end of a place are not lost to rounding."""


def _next(things: Sequence[Thing], relation: Relation, place: Thing, are_many: bool) -> list[Thing]:
    """The neighbour in the series; without a series, the object with the nearest centre on that side."""
    del are_many
    if anatomy.is_numbered(place.key):
        wanted = neighbour(place.key, relation)
        return [thing for thing in things if thing.key == wanted]
    _, sign = _DIRECTIONS[relation]
    height = place.shape.centre_ras[2]
    beyond = [one for one in things if one.key != place.key and sign * (one.shape.centre_ras[2] - height) > 0]
    return sorted(beyond, key=lambda one: abs(one.shape.centre_ras[2] - height))[:1]


def neighbour(key: str, relation: Relation) -> str | None:
    """The vertebra or rib next above or below one; None at the end of the series.

    Example:
        >>> neighbour("vertebrae_T12", "next below"), neighbour("rib_left_1", "next above")
        ('vertebrae_L1', None)
    """
    return anatomy.next_above(key) if relation == "next above" else anatomy.next_below(key)


def _nearest(things: Sequence[Thing], relation: Relation, place: Thing, are_many: bool) -> list[Thing]:
    del are_many
    others = [thing for thing in things if thing.key != place.key or thing.kept is not place.kept]
    ordered = sorted(others, key=lambda one: _way_mm(one.shape, place.shape))
    return ordered[:1] if relation == "nearest to" else ordered[-1:]


def _way_mm(shape: Shape, place: Shape) -> tuple[float, float]:
    """Distance from a place; of what lies in it or touches it, how deep below the place's surface."""
    away = shape.distance_mm(place)
    return (away, 0.0) if away > 0 else (0.0, shape.depth_mm(place.filled))


def _cut(things: Sequence[Thing], part: Callable[[Thing], KeptMask | None]) -> list[Thing]:
    parts = [(thing, part(thing)) for thing in things]
    return [thing.cut_to(kept) for thing, kept in parts if kept is not None]


_Find = Callable[[Sequence[Thing], Relation, Thing, bool], list[Thing]]
_RELATED: Final[Mapping[Relation, _Find]] = {
    "in": _in,
    **dict.fromkeys(("above", "below", "left of", "right of", "in front of", "behind"), _beyond),
    "touching": _touching,
    "at the level of": _at_level,
    **dict.fromkeys(("next above", "next below"), _next),
    **dict.fromkeys(LAST, _nearest),
}
