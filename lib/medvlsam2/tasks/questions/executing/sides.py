"""On which side of the patient a thing lies."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from medvlsam2 import geometry
from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.objects import middle
from medvlsam2.tasks.objects.things import Thing
from medvlsam2.tasks.questions.executing.scene import Scene

BodySide = Literal["left", "right", "middle"]
BODY_HU: Final = -400
"""Voxels above this density belong to the body, as for the model's crop (``transforms/framing.py``)."""
ONE_SIDE: Final = 0.75
"""A thing that has at least this share of its voxels on one side of the body's middle lies on this side. The liver of
a phantom has 0.8 to 0.9 on the right; a bladder, heart or vertebra has 0.4 to 0.7 on one side."""
MIDDLE_MM: Final = 10.0
"""What lies so near to the middle of the body is on neither side: a spinal cord is 10 to 15 mm wide, and no patient
lies more exactly in the middle of what is seen."""
EVERY: Final = 4
"""Every fourth voxel along each axis of a slice is enough to find the body's middle."""


def side_of(fact: Fact, scene: Scene) -> BodySide:
    """Return the side of the patient: of the name or of the finding's host, else by the mask.

    A mask that crosses the middle of the body lies in the middle. Otherwise the spine tells left from right, or what
    lies on both sides of the body; without these, the middle of the body on the mask's slices.

    Args:
        fact: with a mask.
        scene: of the scan.
    """
    if fact.side is not None:
        return fact.side
    kept = scene.mask(fact)
    affine = scene.volume.affine
    places_ras = geometry.ijk_to_ras(np.argwhere(kept.in_box()) + np.array(kept.start_ijk), affine)
    from_middle_mm = places_ras[:, 0] - middle_x_mm(fact, scene)
    right = float((from_middle_mm > 0).mean())
    if 1 - ONE_SIDE < right < ONE_SIDE or abs(from_middle_mm.mean()) < MIDDLE_MM:
        return "middle"
    by_spine = middle.side_of(Thing(fact.key, kept, scene.volume), scene.facts)
    return by_spine or ("right" if right >= ONE_SIDE else "left")


def middle_x_mm(fact: Fact, scene: Scene) -> float:
    """Return the x (RAS+ mm, growing to the patient's right) of the middle of the body on the slices of a thing."""
    volume, kept = scene.volume, scene.mask(fact)
    axis = slice_axis(volume.affine)
    first, last = kept.box_ijk[2 * axis], kept.box_ijk[2 * axis + 1]
    number = (first + last) // 2
    plane = np.take(volume.hu, number, axis=axis)[::EVERY, ::EVERY]
    held = np.argwhere(plane > BODY_HU) * EVERY
    if not len(held):
        held = np.array([[size // 2 for size in np.delete(volume.shape_ijk, axis)]])
    places_ijk = np.insert(held, axis, number, axis=1)
    x_mm = geometry.ijk_to_ras(places_ijk, volume.affine)[:, 0]
    return float((x_mm.min() + x_mm.max()) / 2)
