"""Conversion between voxel indices and world millimetres, and the names of directions.

Conventions, used everywhere in this package:

* ``_ijk``: index into the stored array, zero-based; an integer is the CENTRE of a voxel.
* ``_ras``: world millimetres of NIfTI: x grows to the patient's right, y to the front, z to the head.
* ``_lps``: world millimetres of DICOM and ITK: x grows to the left, y to the back, z to the head. Used only where
  DICOM or ITK data enter or leave the package.

An ``affine`` is always 4x4 and maps homogeneous ``_ijk`` to ``_ras``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Num
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import inv_ornt_aff, ornt2axcodes

from medvlsam2.errors import GeometryMismatch

GRID_TOLERANCE_VOXELS: Final = 0.1
"""Largest distance, in voxels, between a corner of one grid and the same corner of another grid that counts as equal.

Rounding of headers stays under 0.01 (single precision, 2,000 voxels, coordinates of 1 m). The smallest real mistake,
a voxel's corner in place of its centre, is 0.5.
"""

MIN_VOXEL_MM3: Final = 1e-9
"""Smallest volume of a voxel: one micron along each axis. A smaller voxel means a damaged header."""

RAS_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Matrix from RAS to LPS, and from LPS to RAS: the change of two signs is its own inverse."""


def ijk_to_ras(points_ijk: Num[np.ndarray, "n 3"], affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 3"]:
    """Return the world positions in mm of voxel indices (voxel centres at integers)."""
    return apply_affine(affine, np.asarray(points_ijk, dtype=np.float64))


def ras_to_ijk(points_ras: Num[np.ndarray, "n 3"], affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 3"]:
    """Return the continuous voxel indices of world positions in mm; the inverse of :func:`ijk_to_ras`."""
    return ijk_to_ras(np.asarray(points_ras, dtype=np.float64), np.linalg.inv(affine))


def ras_to_lps_affine(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Return the affine of the same grid from ``_ijk`` to ``_lps``; also converts an LPS affine to RAS."""
    return RAS_TO_LPS @ affine


def is_invertible(affine: Float[np.ndarray, "4 4"]) -> bool:
    """Return whether an affine has only finite numbers and a voxel of at least MIN_VOXEL_MM3."""
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) >= MIN_VOXEL_MM3)


def spacing_mm(affine: Float[np.ndarray, "4 4"]) -> tuple[float, float, float]:
    """Return the distance in mm between neighbouring voxel centres along i, j and k."""
    i_mm, j_mm, k_mm = voxel_sizes(affine).tolist()
    return i_mm, j_mm, k_mm


def voxel_volume_ml(affine: Float[np.ndarray, "4 4"]) -> float:
    """Return the volume of one voxel in millilitres."""
    return float(abs(np.linalg.det(affine[:3, :3])) / 1000.0)


def closest_axes(affine: Float[np.ndarray, "4 4"]) -> tuple[tuple[int, int], ...]:
    """For each array axis the nearest world axis and its sign.

    Returns:
        Three pairs ``(world_axis, sign)``: world_axis 0, 1, 2 = R, A, S. Every world axis appears once, also
        for oblique scans: the strongest alignment is settled first. nibabel's ``io_orientation`` says the same, except
        for strongly sheared scans near 45 degrees, whose shear it takes away first.
    """
    cosines = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    pairs: dict[int, tuple[int, int]] = {}
    strength = np.abs(cosines)
    for _ in range(3):
        world, axis = np.unravel_index(int(np.argmax(strength)), (3, 3))
        pairs[int(axis)] = (int(world), 1 if cosines[world, axis] >= 0 else -1)
        strength[world, :] = -1.0
        strength[:, axis] = -1.0
    return tuple(pairs[axis] for axis in range(3))


def orientation_codes(affine: Float[np.ndarray, "4 4"]) -> str:
    """Three letters: the direction in which i, j and k grow, e.g. ``"RAS"`` or ``"LPS"``."""
    return "".join(ornt2axcodes(closest_axes(affine)))


def reoriented_affine(affine: Float[np.ndarray, "4 4"], shape_ijk: tuple[int, int, int]) -> Float[np.ndarray, "4 4"]:
    """Return the affine of the same voxels after the array was reordered to the nearest RAS orientation."""
    return affine @ inv_ornt_aff(np.array(closest_axes(affine)), shape_ijk)


def corners_ijk(shape_ijk: tuple[int, ...]) -> Float[np.ndarray, "8 3"]:
    """Return the indices of the eight corner voxels."""
    return np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(shape_ijk, dtype=np.float64) - 1)


def grid_gap_voxels(
    shape_ijk: tuple[int, ...], affine: Float[np.ndarray, "4 4"], other: Float[np.ndarray, "4 4"]
) -> float:
    """Return the largest distance between a corner of one grid and the same corner of the other grid.

    The distance is measured along each axis of the first grid, in its voxels.
    """
    corners = corners_ijk(shape_ijk)
    return float(np.abs(ras_to_ijk(ijk_to_ras(corners, other), affine) - corners).max())


def require_same_grid(
    what: str,
    shape_a: tuple[int, ...],
    affine_a: Float[np.ndarray, "4 4"],
    shape_b: tuple[int, ...],
    affine_b: Float[np.ndarray, "4 4"],
) -> None:
    """Refuse two arrays that do not share one grid.

    Raises:
        GeometryMismatch: if shapes differ or a corner lies farther away than GRID_TOLERANCE_VOXELS.
    """
    if shape_a != shape_b:
        raise GeometryMismatch(
            f"{what}: shape {shape_b} differs from the image's {shape_a}. Both must lie on the same grid; "
            "resample one of them first."
        )
    gap = grid_gap_voxels(shape_a, affine_a, affine_b)
    if not gap <= GRID_TOLERANCE_VOXELS:  # so that NaN is refused too
        raise GeometryMismatch(
            f"{what}: its corners lie up to {gap:.3g} voxels from the image's; at most {GRID_TOLERANCE_VOXELS} is "
            "allowed. Resample one of them first."
        )
