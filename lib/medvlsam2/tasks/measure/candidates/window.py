"""A part of a scan round some masks: their voxels, the HU there, and the way back to the scan's grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis

Place = tuple[slice, slice, slice]
Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Window:
    """A box of a scan.

    Args:
        volume: the scan.
        place: the box as slices of an array on the scan's grid.
    """

    volume: CTVolume
    place: Place

    @classmethod
    def round(cls, volume: CTVolume, masks: Sequence[KeptMask], margin_mm: float) -> Window:
        """The smallest box that holds some masks with a margin, as far as the scan reaches."""
        parts = []
        for axis, (size, step) in enumerate(zip(volume.shape_ijk, volume.spacing_mm, strict=True)):
            margin = int(np.ceil(margin_mm / step))
            low = min(mask.place[axis].start for mask in masks) - margin
            high = max(mask.place[axis].stop for mask in masks) + margin
            parts.append(slice(max(0, low), min(size, high)))
        return cls(volume, (parts[0], parts[1], parts[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        i, j, k = (part.stop - part.start for part in self.place)
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Size of a voxel."""
        return self.volume.spacing_mm

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return geometry.voxel_volume_ml(self.volume.affine)

    @property
    def slice_axis(self) -> int:
        """Array axis across the slices."""
        return slice_axis(self.volume.affine)

    def hu(self) -> Float[np.ndarray, "x y z"]:
        """The scan in the box."""
        return self.volume.hu[self.place].astype(np.float32)

    def smooth_hu(self, sigma_mm: float) -> Float[np.ndarray, "x y z"]:
        """The scan in the box without the finest noise; slices that are farther apart than this stay as they are."""
        sigma = [sigma_mm / step if step <= 2 * sigma_mm else 0.0 for step in self.spacing_mm]
        return np.asarray(ndimage.gaussian_filter(self.hu(), sigma))

    def paste(self, kept: KeptMask | Iterable[KeptMask]) -> Mask:
        """One mask or the union of some, in the box."""
        held = np.zeros(self.shape, dtype=bool)
        for one in (kept,) if isinstance(kept, KeptMask) else kept:
            mine, theirs = [], []
            for box, own in zip(self.place, one.place, strict=True):
                low, high = max(box.start, own.start), min(box.stop, own.stop)
                mine.append(slice(low - box.start, high - box.start))
                theirs.append(slice(low - own.start, high - own.start))
            if all(part.start < part.stop for part in mine):
                held[tuple(mine)] |= one.in_box()[tuple(theirs)]
        return held

    def kept(self, mask: Mask) -> KeptMask:
        """A mask of the box, which is not empty, on the scan's grid."""
        whole = np.zeros(self.volume.shape_ijk, dtype=bool)
        whole[self.place] = mask
        kept = KeptMask.of(whole)
        assert kept is not None
        return kept

    def grown(self, mask: Mask, by_mm: float) -> Mask:
        """A mask with everything nearer than a distance."""
        if not mask.any():
            return mask
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=self.spacing_mm) <= by_mm)

    def shrunk(self, mask: Mask, by_mm: float) -> Mask:
        """A mask without everything nearer to its surface than a distance; the ends of the scan are no surface."""
        if mask.all():
            return mask
        return np.asarray(ndimage.distance_transform_edt(mask, sampling=self.spacing_mm) > by_mm)

    def closed(self, mask: Mask, by_mm: float) -> Mask:
        """A mask with its dents and holes that are narrower than twice a distance."""
        return self.shrunk(self.grown(mask, by_mm), by_mm) | mask

    def filled(self, mask: Mask) -> Mask:
        """A mask with its holes filled on every slice."""
        shape = np.ones([1 if axis == self.slice_axis else 3 for axis in range(3)], dtype=bool)
        return np.asarray(ndimage.binary_fill_holes(mask, shape)) | mask


def worlds(window: Window) -> Any:
    """Axis and sign of the array axes that run to the right, to the front and to the head."""
    axes = {world: (axis, sign) for axis, (world, sign) in enumerate(geometry.closest_axes(window.volume.affine))}
    return axes[0], axes[1], axes[2]
