"""Where a mask lies in the patient: centre, ends along the patient's axes, and distances, in RAS+ mm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import cKDTree

from medvlsam2 import geometry
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask

Axis = Literal[0, 1, 2]
"""World axis: 0 grows to the patient's right, 1 to the front, 2 to the head."""
NEIGHBOURS: Final = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Shape:
    """A mask in the patient.

    Args:
        kept: the mask.
        affine: of the scan, voxel index to RAS+ mm.
    """

    kept: KeptMask
    affine: Float[np.ndarray, "4 4"]

    @cached_property
    def centre_ras(self) -> Float[np.ndarray, "3"]:
        """Mean of the centres of all voxels."""
        mask = self.kept.in_box()
        start = np.array(self.kept.start_ijk, dtype=np.float64)
        means = [
            np.average(np.arange(size), weights=np.count_nonzero(mask, axis=_others(axis)))
            for axis, size in enumerate(mask.shape)
        ]
        return np.asarray(geometry.ijk_to_ras((start + means)[None], self.affine)[0])

    def ends_mm(self, axis: Axis) -> tuple[float, float]:
        """Lowest and highest coordinate of a voxel's centre along an axis of the patient."""
        along = self.surface_ras[:, axis]
        return float(along.min()), float(along.max())

    @cached_property
    def surface_ras(self) -> Float[np.ndarray, "n 3"]:
        """Centres of the voxels that have a neighbour outside."""
        mask = self.kept.in_box()
        places = np.argwhere(mask & ~ndimage.binary_erosion(mask)) + np.array(self.kept.start_ijk)
        return np.asarray(geometry.ijk_to_ras(places.astype(np.float64), self.affine))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.surface_ras)

    def distance_mm(self, other: Shape) -> float:
        """Shortest distance of the outermost voxels' centres; 0 where the masks overlap or touch."""
        if self.touches(other):
            return 0.0
        few, many = sorted((self, other), key=lambda one: len(one.surface_ras))
        return float(many._tree.query(few.surface_ras)[0].min())

    def depth_mm(self, within: Shape) -> float:
        """Shortest distance to the surface of another shape, from wherever this one lies."""
        return float(within._tree.query(self.surface_ras)[0].min())

    def touches(self, other: Shape) -> bool:
        """Whether two masks overlap, or have voxels that share a face, an edge or a corner."""
        low, high = self._grown_box()
        start, stop = np.array(other.kept.start_ijk), np.array([part.stop for part in other.kept.place])
        if (high <= start).any() or (low >= stop).any():
            return False
        grown = ndimage.binary_dilation(np.pad(self.kept.in_box(), 1), NEIGHBOURS)
        first, last = np.maximum(low, start), np.minimum(high, stop)
        mine = grown[_place(first - low, last - low)]
        return bool((mine & other.kept.in_box()[_place(first - start, last - start)]).any())

    def _grown_box(self) -> tuple[np.ndarray, np.ndarray]:
        """The box with one voxel more on each side; it may leave the scan."""
        return np.array(self.kept.start_ijk) - 1, np.array([part.stop for part in self.kept.place]) + 1

    @cached_property
    def filled(self) -> Shape:
        """The shape with its holes: a lesion often is no part of its organ's mask."""
        kept = self.kept
        bits = np.packbits(ndimage.binary_fill_holes(kept.in_box()))
        return Shape(KeptMask(kept.shape_ijk, kept.box_ijk, bits), self.affine)

    def share_in(self, other: Shape) -> float:
        """Share of this shape that lies in another one."""
        return self.kept.overlap(other.kept) / self.kept.voxels

    def share_between(self, low_mm: float, high_mm: float) -> float:
        """What this shape's height shares with a range of heights, as a share of the smaller of the two."""
        start, stop = self.ends_mm(2)
        shared, smaller = min(stop, high_mm) - max(start, low_mm), min(stop - start, high_mm - low_mm)
        return float(shared >= 0) if smaller == 0 else max(0.0, shared) / smaller

    def between(self, axis: Axis, low_mm: float, high_mm: float) -> KeptMask | None:
        """The voxels with centres from one coordinate (itself inside) to another (itself outside)."""
        mask = self.kept.in_box()
        i_mm, j_mm, k_mm, offset_mm = self.affine[axis]
        i0, j0, k0 = self.kept.start_ijk
        _, rows, columns = mask.shape
        plane = offset_mm + j_mm * (j0 + np.arange(rows))[:, None] + k_mm * (k0 + np.arange(columns))[None, :]
        for number in range(len(mask)):
            along = plane + i_mm * (i0 + number)
            mask[number] &= (along >= low_mm) & (along < high_mm)
        return _kept_in(self.kept, mask)

    def common(self, other: Shape) -> KeptMask | None:
        """The voxels that two masks share."""
        whole = np.zeros(self.kept.shape_ijk, dtype=bool)
        whole[other.kept.place] = other.kept.in_box()
        return _kept_in(self.kept, self.kept.in_box() & whole[self.kept.place])


def _kept_in(kept: KeptMask, mask: Bool[np.ndarray, "i j k"]) -> KeptMask | None:
    """A mask in the box of another one."""
    whole = np.zeros(kept.shape_ijk, dtype=bool)
    whole[kept.place] = mask
    return KeptMask.of(whole)


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)


def _place(first: np.ndarray, last: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(int(low), int(high)) for low, high in zip(first, last, strict=True))
