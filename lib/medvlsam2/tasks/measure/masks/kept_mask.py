"""A mask of one object on a scan's grid that takes little memory: eight voxels a byte, and only the box that holds it.

The masks of all structures of a large scan would take gigabytes as arrays of the scan's shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, UInt8

from medvlsam2.voxel_box import BoxIJK, ShapeIJK


@dataclass(frozen=True, eq=False)
class KeptMask:
    """The mask of one object; it has at least one voxel.

    Args:
        shape_ijk: shape of the scan.
        box_ijk: the smallest half-open voxel box that holds the mask.
        bits: the voxels of the box in C order, eight a byte.
    """

    shape_ijk: ShapeIJK
    box_ijk: BoxIJK
    bits: UInt8[np.ndarray, " n"]

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "i j k"]) -> KeptMask | None:
        """Keep a mask; None for an empty one."""
        ends = []
        for axis in range(3):
            held = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            if not len(held):
                return None
            ends += [int(held[0]), int(held[-1]) + 1]
        i0, i1, j0, j1, k0, k1 = ends
        i, j, k = mask.shape
        return cls((i, j, k), (i0, i1, j0, j1, k0, k1), np.packbits(mask[i0:i1, j0:j1, k0:k1]))

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """The box as slices of an array on the scan's grid."""
        i0, i1, j0, j1, k0, k1 = self.box_ijk
        return slice(i0, i1), slice(j0, j1), slice(k0, k1)

    @property
    def start_ijk(self) -> tuple[int, int, int]:
        """The first voxel of the box."""
        return self.box_ijk[0], self.box_ijk[2], self.box_ijk[4]

    @cached_property
    def voxels(self) -> int:
        """Number of voxels of the mask."""
        return int(np.unpackbits(self.bits).sum())

    def in_box(self) -> Bool[np.ndarray, "i j k"]:
        """The mask in its box alone."""
        shape = tuple(part.stop - part.start for part in self.place)
        size = int(np.prod(shape))
        return np.unpackbits(self.bits, count=size).astype(bool).reshape(shape)

    def whole(self) -> Bool[np.ndarray, "i j k"]:
        """The mask on the scan's grid."""
        mask = np.zeros(self.shape_ijk, dtype=bool)
        mask[self.place] = self.in_box()
        return mask

    def overlap(self, other: KeptMask) -> int:
        """Number of voxels that two masks of one scan share."""
        if self.shape_ijk != other.shape_ijk:
            return 0
        common = tuple(
            slice(max(mine.start, theirs.start), min(mine.stop, theirs.stop))
            for mine, theirs in zip(self.place, other.place, strict=True)
        )
        if any(part.start >= part.stop for part in common):
            return 0
        return int((_cut(self, common) & _cut(other, common)).sum())

    def union(self, *others: KeptMask) -> KeptMask:
        """The mask of all voxels that this or another mask holds."""
        whole = self.whole()
        for other in others:
            whole[other.place] |= other.in_box()
        kept = KeptMask.of(whole)
        assert kept is not None
        return kept


def _cut(mask: KeptMask, common: tuple[slice, ...]) -> Bool[np.ndarray, "i j k"]:
    i, j, k = (slice(part.start - first, part.stop - first) for part, first in zip(common, mask.start_ijk, strict=True))
    return mask.in_box()[i, j, k]
