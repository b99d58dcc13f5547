"""Check of a scan's voxel sizes and extent: a wrong unit of length makes them 10 to 1,000 times too large or too small.

A size that no scanner produces is refused. A size that is only unusual gives a warning. Both texts give the size, so
that a structure's volume in mL that is wrong by a factor of a thousand is not mistaken for a finding.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float

from medvlsam2 import geometry
from medvlsam2.errors import UnreadableVolume

ALLOWED_VOXEL_MM: Final = (0.005, 100.0)
"""Micro-CT of a tooth has voxels of 0.01 mm.

A file in metres that is read as mm lies below the range. A file in microns that is read as mm lies above."""
USUAL_VOXEL_MM: Final = (0.05, 20.0)
"""Clinical CT has voxels of 0.1 mm (inner ear, photon counting) to 10 mm (thick slices); the range is twice as wide."""
ALLOWED_EXTENT_MM: Final = 10_000.0
"""Longest side of a scan in mm. A CT table moves about 2 m; five times that can only be a wrong unit."""
USUAL_EXTENT_MM: Final = (3.0, 2_500.0)
"""Longest side of a scan in mm. A CT table moves about 2 m. The lower bound only catches a wrong unit of length."""

_HINT: Final = "Perhaps the header's unit of length is wrong or absent"


def size_warnings(name: str, affine: Float[np.ndarray, "4 4"], shape_ijk: tuple[int, int, int]) -> tuple[str, ...]:
    """Return the warnings about a scan's voxel sizes and extent.

    Args:
        name: name of the image, for messages.
        affine: 4x4, ``_ijk`` to ``_ras`` mm; a singular affine gives no warning.
        shape_ijk: voxels along i, j and k.

    Raises:
        UnreadableVolume: if no scanner produces such voxels or such an extent.
    """
    spacing_mm = np.array(geometry.spacing_mm(affine))
    if not np.isfinite(spacing_mm).all() or not spacing_mm.all():
        return ()
    longest_mm = float((spacing_mm * shape_ijk).max())
    voxel = " x ".join(f"{size:.4g}" for size in spacing_mm) + " mm"
    if spacing_mm.min() < ALLOWED_VOXEL_MM[0] or spacing_mm.max() > ALLOWED_VOXEL_MM[1]:
        raise UnreadableVolume(
            f"Image '{name}' has voxels of {voxel}; {ALLOWED_VOXEL_MM[0]:g} to {ALLOWED_VOXEL_MM[1]:g} mm are allowed. "
            f"{_HINT}: mend it, or export the scan again."
        )
    if longest_mm > ALLOWED_EXTENT_MM:
        raise UnreadableVolume(
            f"Image '{name}' is {longest_mm / 1000:.1f} m long (voxels of {voxel}); at most "
            f"{ALLOWED_EXTENT_MM / 1000:g} m are allowed. {_HINT}: mend it, or export the scan again."
        )
    if spacing_mm.min() < USUAL_VOXEL_MM[0] or spacing_mm.max() > USUAL_VOXEL_MM[1]:
        return (f"The voxels measure {voxel}, which is unusual for CT. {_HINT}: lengths and volumes may be wrong.",)
    if not USUAL_EXTENT_MM[0] <= longest_mm <= USUAL_EXTENT_MM[1]:
        finding = f"The scan's longest side is {longest_mm:.4g} mm (voxels of {voxel}), which is unusual for a patient."
        return (f"{finding} {_HINT}: lengths and volumes may be wrong.",)
    return ()
