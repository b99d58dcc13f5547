"""What one mask measures on the scan's own voxels: size, lengths, density and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.masks.diameter import diameters_mm, longest_distance_mm
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask

TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a corner belong to one piece."""
MIN_INSIDE: Final = 20
"""HU are those of the mask without its outermost voxels if at least so many are left. A voxel at the edge is a mean of
two tissues (partial volume); a mean over fewer voxels than these is ruled by noise."""
CUT_SHARE: Final = 0.05
"""A mask is cut if it covers on the first or last slice at least this share of its largest slice. The rounded end of a
whole organ may touch a scan's end with a few voxels."""


@dataclass(frozen=True)
class Measures:
    """Of one mask; the fields are those of :class:`~medvlsam2.data.fact_table.Fact`."""

    volume_ml: float
    longest_mm: float
    short_axis_mm: float
    length_mm: float
    height_mm: float
    mean_hu: float
    sd_hu: float
    hu_inside: bool
    slices: tuple[int, int]
    centre_ras: tuple[float, float, float]
    pieces: int
    cut: bool

    def fields(self) -> dict[str, Any]:
        """The measurements by the names of a fact's fields."""
        return dict(vars(self))


def slice_axis(affine: Float[np.ndarray, "4 4"]) -> int:
    """Array axis that is nearest to the patient's long axis: the one across the slices."""
    return next(axis for axis, (world, _) in enumerate(geometry.closest_axes(affine)) if world == 2)


def measure(kept: KeptMask, volume: CTVolume) -> Measures:
    """Measure a mask.

    Args:
        kept: of one object in the scan.
        volume: the scan.
    """
    axis = slice_axis(volume.affine)
    mask, spacing = kept.in_box(), np.array(volume.spacing_mm)
    slices = np.moveaxis(mask, axis, 0)
    height_mm, width_mm = np.delete(spacing, axis).tolist()
    longest_mm, short_mm = diameters_mm(slices, (height_mm, width_mm))
    inside, is_inside = _inside(mask)
    hu = volume.hu[kept.place][inside]
    first = kept.start_ijk[axis]
    return Measures(
        volume_ml=kept.voxels * geometry.voxel_volume_ml(volume.affine),
        longest_mm=longest_mm,
        short_axis_mm=short_mm,
        length_mm=longest_distance_mm(_surface(mask) * spacing) + float(spacing.min()),
        height_mm=len(slices) * float(spacing[axis]),
        mean_hu=float(hu.mean()),
        sd_hu=float(hu.std()),
        hu_inside=is_inside,
        slices=(first, first + len(slices) - 1),
        centre_ras=_centre_ras(kept, mask, volume),
        pieces=int(ndimage.label(mask, TOUCHING)[1]),
        cut=is_cut(kept, volume),
    )


def is_cut(kept: KeptMask, volume: CTVolume) -> bool:
    """Whether the scan ends within the object: the mask reaches the first or last slice with a good part of itself."""
    axis = slice_axis(volume.affine)
    low, high = kept.box_ijk[2 * axis], kept.box_ijk[2 * axis + 1]
    if low > 0 and high < volume.shape_ijk[axis]:
        return False
    areas = kept.in_box().sum(axis=tuple(other for other in range(3) if other != axis))
    at_ends = (areas[0] if low == 0 else 0, areas[-1] if high == volume.shape_ijk[axis] else 0)
    return bool(max(at_ends) >= CUT_SHARE * areas.max())


def pieces_of(kept: KeptMask) -> list[KeptMask]:
    """The connected parts of a mask, the largest first."""
    labels, count = ndimage.label(kept.in_box(), TOUCHING)
    parts = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        edges = [edge + first for part, first in zip(place, kept.start_ijk, strict=True) for edge in _edges(part)]
        i0, i1, j0, j1, k0, k1 = edges
        parts.append(KeptMask(kept.shape_ijk, (i0, i1, j0, j1, k0, k1), np.packbits(labels[place] == number)))
    assert len(parts) == count
    return sorted(parts, key=lambda part: -part.voxels)


def _edges(part: slice) -> tuple[int, int]:
    return part.start, part.stop


def _inside(mask: Bool[np.ndarray, "i j k"]) -> tuple[Bool[np.ndarray, "i j k"], bool]:
    """The mask without its outermost voxels, if enough of them are left."""
    inner = ndimage.binary_erosion(mask)
    is_enough = np.count_nonzero(inner) >= MIN_INSIDE
    return (inner, True) if is_enough else (mask, False)


def _surface(mask: Bool[np.ndarray, "i j k"]) -> Float[np.ndarray, "n 3"]:
    """The first and last voxel of every row along the last axis: the corners of the mask's hull are among them."""
    rows = mask.any(axis=2)
    places = np.argwhere(rows)
    first = mask.argmax(axis=2)[rows]
    last = mask.shape[2] - 1 - mask[:, :, ::-1].argmax(axis=2)[rows]
    ends = [np.column_stack([places, end]) for end in (first, last)]
    return np.concatenate(ends).astype(np.float64)


def _centre_ras(kept: KeptMask, mask: Bool[np.ndarray, "i j k"], volume: CTVolume) -> tuple[float, float, float]:
    """The voxel of the mask nearest to its middle: always inside, also where the mask is bent."""
    held = np.argwhere(mask)
    away = (held - held.mean(axis=0)) * volume.spacing_mm
    nearest = held[int((away**2).sum(axis=1).argmin())] + kept.start_ijk
    x, y, z = geometry.ijk_to_ras(nearest[None].astype(np.float64), volume.affine)[0].tolist()
    return x, y, z
