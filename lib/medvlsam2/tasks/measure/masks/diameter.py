"""The longest diameter of an object on one slice, as radiologists measure it, and the width across it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform


class Diameters(NamedTuple):
    """Of the slice with the longest diameter; 0 for an empty mask."""

    longest_mm: float
    short_mm: float
    """Widest extent perpendicular to the longest diameter, on the same slice."""


def longest_diameter_mm(slices: Iterable[Bool[np.ndarray, "h w"]], spacing_hw_mm: tuple[float, float]) -> float:
    """Longest distance of two voxel centres of the object on one slice, plus one voxel; 0 for an empty mask.

    Args:
        slices: the object on each slice as it was acquired.
        spacing_hw_mm: size of a pixel.

    Source: Eisenhauer et al., Eur J Cancer 2009 (RECIST 1.1): the longest diameter in the plane of measurement.
    """
    return diameters_mm(slices, spacing_hw_mm).longest_mm


def diameters_mm(slices: Iterable[Bool[np.ndarray, "h w"]], spacing_hw_mm: tuple[float, float]) -> Diameters:
    """The longest diameter, and the width across it on the same slice; both are distances of voxel centres plus one.

    Args:
        slices: the object on each slice as it was acquired.
        spacing_hw_mm: size of a pixel.

    Source: Eisenhauer et al., Eur J Cancer 2009 (RECIST 1.1): longest diameter; the short axis is perpendicular to it.
    """
    widest = max((_widest(np.argwhere(mask) * spacing_hw_mm) for mask in slices if mask.any()), default=None)
    return Diameters(0.0, 0.0) if widest is None else Diameters(*(length + min(spacing_hw_mm) for length in widest))


def longest_distance_mm(places_mm: Float[np.ndarray, "n 3"]) -> float:
    """Longest distance of two points in space."""
    corners = _corners(places_mm)
    return float(pdist(corners).max()) if len(corners) > 1 else 0.0


def _widest(places_mm: Float[np.ndarray, "n 2"]) -> Diameters:
    """Longest distance of two points, and the extent of all points across it."""
    if len(places_mm) == 1:
        return Diameters(0.0, 0.0)
    corners = _corners(places_mm)
    apart = squareform(pdist(corners))
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    along = (corners[second] - corners[first]) / apart[first, second]
    across = corners @ np.array([-along[1], along[0]])
    return Diameters(float(apart[first, second]), float(np.ptp(across)))


def _corners(places_mm: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "m c"]:
    """Points among which are the two that are farthest apart: the corners of the convex hull."""
    if len(places_mm) <= places_mm.shape[1] + 1:
        return places_mm
    try:
        return places_mm[ConvexHull(places_mm).vertices]
    except QhullError:  # all on one line or in one plane
        spread = places_mm - places_mm.mean(axis=0)
        _, _, ways = np.linalg.svd(spread, full_matrices=False)
        flat = spread @ ways[:-1].T
        if flat.shape[1] > 1:
            return places_mm[_numbers_of_corners(flat)]
        return places_mm[[int(flat.argmin()), int(flat.argmax())]]


def _numbers_of_corners(flat: Float[np.ndarray, "n 2"]) -> np.ndarray:
    try:
        return np.asarray(ConvexHull(flat).vertices)
    except QhullError:
        return np.array([int(flat[:, 0].argmin()), int(flat[:, 0].argmax())])
