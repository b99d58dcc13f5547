"""A CT scan in memory: Hounsfield units, the affine that places them in the patient, and a name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float, Int16

from medvlsam2 import geometry
from medvlsam2.errors import UnreadableVolume

HU_MIN = -1024
"""Lowest Hounsfield unit of a scan: air. With HU_MAX this is the range of 12 bits, in which CT scanners store HU."""
HU_MAX = 3071
"""Highest Hounsfield unit of a scan."""
HASHED_AT_ONCE: Final = 16
"""Planes of a scan that are copied to contiguous memory at once for the hash; a copy of the whole scan is large."""


@dataclass(frozen=True, eq=False)
class CTVolume:
    """One scan on its source grid.

    Args:
        hu: Hounsfield units on the source grid, in the axis order of the file.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        image_id: name in messages and logs; never the name of a patient.
        warnings: sentences for the user, e.g. that the intensities do not look like CT.

    Raises:
        UnreadableVolume: if an axis has fewer than 2 voxels, or the affine cannot be inverted.
    """

    hu: Int16[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    image_id: str
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if min(self.hu.shape) < 2:
            raise UnreadableVolume(
                f"Image '{self.image_id}' has shape {self.hu.shape}: a 3-D volume needs at least 2 voxels "
                "along every axis. Give a whole CT series, not a single slice."
            )
        if not geometry.is_invertible(self.affine):
            raise UnreadableVolume(
                f"Image '{self.image_id}' has an affine that cannot be inverted. The header is damaged; "
                "convert the series again."
            )

    @property
    def shape_ijk(self) -> tuple[int, int, int]:
        """Number of voxels along i, j and k."""
        i, j, k = self.hu.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along i, j and k in mm."""
        return geometry.spacing_mm(self.affine)

    @property
    def orientation(self) -> str:
        """Directions in which i, j and k grow, e.g. ``"LPS"``: to the patient's left, back (posterior) and head."""
        return geometry.orientation_codes(self.affine)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of shape, voxels and affine, which is the key of every cache."""
        digest = hashlib.sha256(repr(self.shape_ijk).encode())
        for first in range(0, len(self.hu), HASHED_AT_ONCE):
            digest.update(np.ascontiguousarray(self.hu[first : first + HASHED_AT_ONCE]).data)
        digest.update((np.round(self.affine, 6) + 0.0).tobytes())  # + 0.0 turns -0.0 into 0.0
        return digest.hexdigest()

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape_ijk))
        spacing = "x".join(f"{s:.2f}" for s in self.spacing_mm)
        return f"CTVolume({self.image_id!r}, {size} ijk, {spacing} mm, {self.orientation})"
