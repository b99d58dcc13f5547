"""The longest diameter of an object on one slice, as radiologists measure it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist


def longest_diameter_mm(
    mask: Bool[np.ndarray, "i j k"], spacing_ijk_mm: tuple[float, float, float], slice_axis: int
) -> float:
    """Longest distance of two voxel centres of the object on one slice, plus one voxel; 0 for an empty mask.

    Args:
        mask: the object on the scan's grid.
        spacing_ijk_mm: voxel size.
        slice_axis: axis along which slices were acquired.

    Source: Eisenhauer et al., Eur J Cancer 2009 (RECIST 1.1): the longest diameter in the plane of measurement.
    """
    in_plane = np.delete(np.array(spacing_ijk_mm), slice_axis)
    longest = max((_widest(places * in_plane) for places in _outlines(mask, slice_axis)), default=None)
    return 0.0 if longest is None else longest + float(in_plane.min())


def _outlines(mask: Bool[np.ndarray, "i j k"], slice_axis: int) -> Iterator[np.ndarray]:
    slices = np.moveaxis(mask, slice_axis, 0)
    for number in np.flatnonzero(slices.any(axis=(1, 2))):
        yield np.argwhere(slices[number]).astype(float)


def _widest(places_mm: np.ndarray) -> float:
    if len(places_mm) == 1:
        return 0.0
    try:
        corners = places_mm[ConvexHull(places_mm).vertices]
    except QhullError:  # all on one line
        corners = places_mm[[np.lexsort(places_mm.T)[0], np.lexsort(places_mm.T)[-1]]]
    return float(pdist(corners).max())
