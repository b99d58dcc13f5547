"""Affine of a stack of DICOM slices, from the position of each slice.

The centres of all pixels of a regular stack form a lattice: row direction, column direction, and one constant step
from slice to slice. These three vectors and the first position are the affine. The step need not be at a right angle
to the slices: a tilted gantry shifts each slice within its plane by the same amount, which gives a sheared lattice.
So the affine is exact also for a tilted gantry, nothing is resampled, and masks lie on the source's own slices.

Slices that are missing, repeated or unevenly spaced form no lattice. They are refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from medvlsam2 import geometry
from medvlsam2.errors import UnreadableVolume

LATTICE_TOLERANCE_MM: Final = 0.1
"""Largest distance of a slice from its position on the regular lattice through the first and the last slice.

Positions rounded to 0.01 mm stay below this bound. A missing slice exceeds it, since the gap then doubles."""
LATTICE_TOLERANCE_SHARE: Final = 0.25
"""The same bound as a share of the slice spacing. The smaller bound holds: this one for spacings under 0.4 mm."""
REPEAT_TOLERANCE_MM: Final = 0.01
"""Slices that are nearer to each other than this are at the same position. Slices of clinical CT
lie at least 0.1 mm apart."""
TILT_TOLERANCE_DEG: Final = 0.1
"""A larger angle between the slices' normal and the step from slice to slice counts as a tilted gantry.

Over a stack of 1 m an angle of 0.1 degrees shifts the last slice by 1.7 mm."""
ORTHOGONAL_TOLERANCE: Final = 1e-2
"""Largest error of the in-plane directions: squared length minus 1, and the cosine between them (0.6 degrees)."""


@dataclass(frozen=True, eq=False)
class SliceLattice:
    """Position and orientation of a stack of slices.

    Args:
        affine: 4x4, ``_ijk`` (column, row, slice) to ``_ras`` mm.
        tilt_deg: angle in degrees between the slices' normal and the step from slice to slice.
    """

    affine: Float[np.ndarray, "4 4"]
    tilt_deg: float


def normal_lps(orientation: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " 3"]:
    """Return the unit normal of the slices in ``_lps``. The slice index grows along it, as in ITK.

    Args:
        orientation: ImageOrientationPatient: direction of rows, then of columns.

    Raises:
        UnreadableVolume: if the two directions are not of unit length or not at a right angle.
    """
    row, column = orientation[:3], orientation[3:]
    fault = max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column))
    if not np.isfinite(fault) or fault > ORTHOGONAL_TOLERANCE:
        raise UnreadableVolume(
            f"The slices' orientation {orientation.tolist()} is damaged: two directions of length 1 at a "
            "right angle are needed. Export the series again."
        )
    normal = np.cross(row, column)
    return np.asarray(normal / np.linalg.norm(normal))


def depths_mm(positions_lps: Float[np.ndarray, "n 3"], orientation: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " n"]:
    """Return the position of each slice along the normal in mm; slices are sorted by it."""
    return np.asarray(positions_lps @ normal_lps(orientation))


def repeated(depths: Float[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Return the numbers of the slices that lie at the position of the slice before; ``depths`` (mm) must ascend."""
    return np.flatnonzero(np.diff(depths) < REPEAT_TOLERANCE_MM) + 1


def lattice(
    positions_lps: Float[np.ndarray, "n 3"],
    orientation: Float[np.ndarray, " 6"],
    pixel_spacing_mm: tuple[float, float],
) -> SliceLattice:
    """Return the lattice of slices that are sorted by depth.

    Args:
        positions_lps: centre of the first pixel of each slice in mm (ImagePositionPatient), sorted by depth.
        orientation: directions of rows and columns (ImageOrientationPatient).
        pixel_spacing_mm: distance between rows, then between columns (PixelSpacing).

    Raises:
        UnreadableVolume: if there are fewer than 2 slices, or a slice is missing, repeated or out of place.
    """
    if len(positions_lps) < 2:
        raise UnreadableVolume(
            f"The series has {len(positions_lps)} slice; a volume needs at least 2. "
            "Give the folder of the whole series."
        )
    normal = normal_lps(orientation)
    step_lps = (positions_lps[-1] - positions_lps[0]) / (len(positions_lps) - 1)
    _require_regular(positions_lps, step_lps, positions_lps @ normal)
    affine_lps = np.eye(4)
    affine_lps[:3, 0] = orientation[:3] * pixel_spacing_mm[1]
    affine_lps[:3, 1] = orientation[3:] * pixel_spacing_mm[0]
    affine_lps[:3, 2] = step_lps
    affine_lps[:3, 3] = positions_lps[0]
    across = np.linalg.norm(np.cross(step_lps, normal))
    tilt_deg = float(np.degrees(np.arctan2(across, step_lps @ normal)))
    return SliceLattice(geometry.ras_to_lps_affine(affine_lps), tilt_deg)


def _require_regular(
    positions_lps: Float[np.ndarray, "n 3"],
    step_lps: Float[np.ndarray, " 3"],
    depths: Float[np.ndarray, " n"],
) -> None:
    """Refuse slices that are not where the lattice puts them, and name the most probable cause.

    The largest deviation from the median gap tells a missing slice or an uneven spacing. If all gaps are regular, a
    slice is shifted sideways within its plane.
    """
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    expected = positions_lps[0] + np.arange(len(positions_lps))[:, None] * step_lps
    off_mm = np.linalg.norm(positions_lps - expected, axis=1)
    allowed_mm = min(LATTICE_TOLERANCE_MM, LATTICE_TOLERANCE_SHARE * usual)
    if off_mm.max() <= allowed_mm:
        return
    worst = int(np.argmax(np.abs(gaps - usual)))
    missing = round(float(gaps[worst]) / usual) - 1 if usual > 0 else 0
    if abs(gaps[worst] - usual) > allowed_mm:
        cause = f"{missing} missing" if missing > 0 else "uneven spacing"
        raise UnreadableVolume(
            f"Between the slices at {depths[worst]:.2f} and {depths[worst + 1]:.2f} mm the gap is "
            f"{gaps[worst]:.2f} mm, elsewhere {usual:.2f} mm ({cause}). "
            f"A difference of at most {allowed_mm:.2g} mm is allowed. "
            "Send the whole series again, or resample it to even slices first."
        )
    slice_number = int(np.argmax(off_mm))
    raise UnreadableVolume(
        f"The slice at {depths[slice_number]:.2f} mm lies {off_mm[slice_number]:.2f} mm away from its place "
        f"in a straight, even stack; at most {allowed_mm:.2g} mm is allowed. Resample the series first."
    )
