"""The extent of a mask along the body, and which of its ends are ends of the structure and not of the scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int

from medvlsam2 import geometry
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis

TIP: Final = 0.003
"""Share of a mask's voxels that is cut off at each end: single voxels far away move no end."""


@dataclass(frozen=True)
class Extent:
    """Where a structure lies along the scan, in mm above the lower face of the scan's lowest slice."""

    low_mm: float
    high_mm: float
    low_is_cut: bool
    """Whether the mask reaches the lowest slice, so that the structure may go on below."""
    high_is_cut: bool


def extent_of(areas: Int[np.ndarray, " slices"], spacing_mm: float) -> Extent | None:
    """Return the extent of a mask; None for an empty mask.

    Args:
        areas: voxels of the mask on each slice, from the feet towards the head.
        spacing_mm: distance of neighbouring slices.

    Example:
        >>> extent_of(np.array([0, 5, 6, 7]), 2.0)
        Extent(low_mm=2.0, high_mm=8.0, low_is_cut=False, high_is_cut=True)
    """
    total = int(areas.sum())
    if not total:
        return None
    below, above = np.cumsum(areas), np.cumsum(areas[::-1])
    low = int(np.argmax(below > TIP * total))
    high = len(areas) - int(np.argmax(above > TIP * total))
    return Extent(low * spacing_mm, high * spacing_mm, bool(areas[0]), bool(areas[-1]))


def areas_of(kept: KeptMask, volume: CTVolume, imaged: tuple[int, int]) -> Int[np.ndarray, " slices"]:
    """Return the voxels of a mask on each imaged slice, from the feet towards the head."""
    axis = slice_axis(volume.affine)
    areas = np.zeros(volume.shape_ijk[axis], dtype=np.int64)
    areas[kept.place[axis]] = kept.in_box().sum(axis=tuple(other for other in range(3) if other != axis))
    part = areas[imaged[0] : imaged[1]]
    return part if _grows_upwards(volume) else part[::-1]


def imaged_slices(volume: CTVolume) -> tuple[int, int]:
    """Return the first slice and the end of the slices that hold an image: slices of one value are padding."""
    axis = slice_axis(volume.affine)
    slices = np.moveaxis(volume.hu, axis, 0)
    count = len(slices)
    held = (number for number in range(count) if slices[number].min() != slices[number].max())
    first = next(held, 0)
    last = next((n for n in range(count - 1, first, -1) if slices[n].min() != slices[n].max()), count - 1)
    return first, last + 1


def _grows_upwards(volume: CTVolume) -> bool:
    _, sign = geometry.closest_axes(volume.affine)[slice_axis(volume.affine)]
    return sign > 0
