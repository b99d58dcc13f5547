"""From the positions of single slices to one exact affine, or the reason why there is none.

A tilted gantry shifts each slice within its plane. Its slices still form a regular, sheared lattice, so the
affine is exact and nothing is resampled: masks lie on the source's own slices. Missing, repeated and unevenly
spaced slices have no affine and are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from medvlsam2 import geometry
from medvlsam2.errors import UnreadableVolume

LATTICE_TOLERANCE_MM: Final = 0.1
"""How far a slice may lie from its place on the regular lattice through the first and the last slice."""
LATTICE_TOLERANCE_SHARE: Final = 0.25
"""The same as a share of the slice spacing; the smaller bound holds (scans with slices under 0.4 mm)."""
REPEAT_TOLERANCE_MM: Final = 0.01
"""Slices nearer to each other than this are at one position."""
TILT_TOLERANCE_DEG: Final = 0.1
"""A larger angle between the slices' normal and the way from slice to slice is called a tilted gantry."""
ORTHOGONAL_TOLERANCE: Final = 1e-2
"""How far the in-plane directions may be from unit length and a right angle."""


@dataclass(frozen=True, eq=False)
class SliceLattice:
    """Where a stack of slices lies.

    Args:
        affine: 4x4, ``_ijk`` (column, row, slice) to ``_ras`` mm.
        tilt_deg: angle between the slices' normal and the way from slice to slice.
    """

    affine: Float[np.ndarray, "4 4"]
    tilt_deg: float


def normal_lps(orientation: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " 3"]:
    """Unit vector across the slices; slices are counted along it, as ITK counts them.

    Args:
        orientation: DICOM's ImageOrientationPatient: direction of rows, then of columns.

    Raises:
        UnreadableVolume: if the two directions are not of unit length and at a right angle.
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
    """Place of each slice along the normal, by which slices are sorted."""
    return np.asarray(positions_lps @ normal_lps(orientation))


def repeated(depths: Float[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Numbers of the slices that lie where the slice before them lies; ``depths`` ascend."""
    return np.flatnonzero(np.diff(depths) < REPEAT_TOLERANCE_MM) + 1


def lattice(
    positions_lps: Float[np.ndarray, "n 3"],
    orientation: Float[np.ndarray, " 6"],
    pixel_spacing_mm: tuple[float, float],
) -> SliceLattice:
    """The affine of slices that are sorted by depth.

    Args:
        positions_lps: centre of the first pixel of each slice (ImagePositionPatient), sorted.
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
            f"At most {allowed_mm:.2g} mm off is allowed. "
            "Send the whole series again, or resample it to even slices first."
        )
    slice_number = int(np.argmax(off_mm))
    raise UnreadableVolume(
        f"The slice at {depths[slice_number]:.2f} mm lies {off_mm[slice_number]:.2f} mm away from its place "
        f"on a straight, even stack; at most {allowed_mm:.2g} mm is allowed. Resample the series first."
    )
