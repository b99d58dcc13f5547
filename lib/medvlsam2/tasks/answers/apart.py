"""Refuses a click and a box that cannot belong to one object: a mask never leaves its box."""

from __future__ import annotations

import numpy as np

from medvlsam2 import geometry, voxel_box
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.prompts import ON_OBJECT, ObjectPrompt
from medvlsam2.voxel_box import BoxIJK, holds, is_in_scan, voxel_of


def require_together(prompt: ObjectPrompt, volume: CTVolume) -> None:
    """Refuse clicks on an object that lie outside its box, and strokes or a mask of which nothing lies in it.

    Along the slices a click may make the object longer than its box, by the box's own length at most. Clicks outside
    the scan are left to :mod:`medvlsam2.tasks.answers.stray`.

    Args:
        prompt: its box in the scan.
        volume: the scan.

    Raises:
        InvalidPrompt: where they are apart, with the click and the box.
    """
    box_ijk = prompt.box_ijk
    if box_ijk is None:
        return
    reach_ijk = _lengthened(box_ijk, volume)
    for number, (point, label) in enumerate(zip(prompt.points_ijk, prompt.point_labels, strict=True), start=1):
        if label != 1 or not is_in_scan(point, volume.shape_ijk):
            continue
        if not holds(reach_ijk, voxel_of(point, volume.shape_ijk)):
            raise _apart(f"Click {number} on '{prompt.shown_name}' at voxel {_shown(point)} lies", "click", box_ijk)
    place = voxel_box.slices(box_ijk, volume.shape_ijk)
    drawn = None if prompt.scribbles is None else prompt.scribbles == ON_OBJECT
    for what, marked in (("strokes", drawn), ("mask", prompt.mask)):
        if marked is not None and marked.any() and not marked[place].any():
            verb = "lie" if what == "strokes" else "lies"
            raise _apart(f"All of the {what} on '{prompt.shown_name}' {verb}", what, box_ijk)


def _lengthened(box_ijk: BoxIJK, volume: CTVolume) -> BoxIJK:
    """The box, longer by its own length to both sides along the slices."""
    axis = next(axis for axis, (world, _) in enumerate(geometry.closest_axes(volume.affine)) if world == 2)
    edges = list(box_ijk)
    length = edges[2 * axis + 1] - edges[2 * axis]
    edges[2 * axis] -= length
    edges[2 * axis + 1] += length
    i0, i1, j0, j1, k0, k1 = edges
    return i0, i1, j0, j1, k0, k1


def _apart(what: str, short: str, box_ijk: BoxIJK) -> InvalidPrompt:
    return InvalidPrompt(
        f"{what} outside its box {box_ijk} (i0, i1, j0, j1, k0, k1, half-open), and nothing is found outside of a box. "
        f"Move the {short}, make the box larger, or take one of them away."
    )


def _shown(point_ijk: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(float(np.round(place, 1)) for place in point_ijk)
