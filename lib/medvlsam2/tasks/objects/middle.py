"""Left and right of the middle of the body, by what lies in the middle or on both sides of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from medvlsam2.data.structures.table import Side
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.objects.shapes import Shape
from medvlsam2.tasks.objects.things import Thing

IN_THE_MIDDLE: Final = ("spinal_cord", "vertebrae", "spine")
ON_BOTH_SIDES: Final = (("lung_left", "lung_right"), ("kidney_left", "kidney_right"), ("hip_left", "hip_right"))
LEVEL_MM: Final = 20.0
"""The middle is that of the spine so near to the object's own level: a spine may be bent."""
APART_MM: Final = 40.0
"""Centres of a pair that are nearer may be one organ seen twice (as in ``tasks.answers.sides``)."""


def side_of(thing: Thing, facts: Facts) -> Side | None:
    """The side of an object; None where nothing in the scan tells left from right.

    Args:
        thing: an object whose name may tell its side already.
        facts: of the scan.
    """
    if thing.side is not None:
        return thing.side
    middle_mm = _middle_x_mm(thing.shape, facts)
    if middle_mm is None:
        return None
    return "left" if thing.shape.centre_ras[0] < middle_mm else "right"  # RAS: x grows to the patient's right


def _middle_x_mm(shape: Shape, facts: Facts) -> float | None:
    """X of the middle of the body in RAS."""
    for key in IN_THE_MIDDLE:
        seen = _shapes((key,), facts)
        if seen:
            return _at_level(seen[0], shape)
    for pair in ON_BOTH_SIDES:
        seen = _shapes(pair, facts)
        if len(seen) == 2:
            left, right = (float(one.centre_ras[0]) for one in seen)
            if right - left >= APART_MM:
                return (left + right) / 2
    return None


def _shapes(keys: Sequence[str], facts: Facts) -> list[Shape]:
    """Those structures that are surely seen."""
    known = [key for key in keys if facts.source.knows(key)]
    kept = [facts.kept_mask(fact) for fact in facts.structures(known) if fact.is_present]
    return [Shape(one, facts.volume.affine) for one in kept if one is not None]


def _at_level(middle: Shape, shape: Shape) -> float:
    low, high = shape.ends_mm(2)
    near = np.abs(middle.surface_ras[:, 2] - np.clip(middle.surface_ras[:, 2], low, high)) <= LEVEL_MM
    places = middle.surface_ras[near] if near.any() else middle.surface_ras
    return float(places[:, 0].mean())
