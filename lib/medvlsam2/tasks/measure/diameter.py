"""The longest diameter of an object on one slice, as radiologists measure it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist


def longest_diameter_mm(slices: Iterable[Bool[np.ndarray, "h w"]], spacing_hw_mm: tuple[float, float]) -> float:
    """Longest distance of two voxel centres of the object on one slice, plus one voxel; 0 for an empty mask.

    Args:
        slices: the object on each slice as it was acquired.
        spacing_hw_mm: size of a pixel.

    Source: Eisenhauer et al., Eur J Cancer 2009 (RECIST 1.1): the longest diameter in the plane of measurement.
    """
    longest = max((_widest(np.argwhere(mask) * spacing_hw_mm) for mask in slices if mask.any()), default=None)
    return 0.0 if longest is None else longest + min(spacing_hw_mm)


def _widest(places_mm: np.ndarray) -> float:
    if len(places_mm) == 1:
        return 0.0
    try:
        corners = places_mm[ConvexHull(places_mm).vertices]
    except QhullError:  # all on one line
        corners = places_mm[[np.lexsort(places_mm.T)[0], np.lexsort(places_mm.T)[-1]]]
    return float(pdist(corners).max())
