"""The voxel grid on which structures are painted, and smooth random fields over the grid.

Each voxel has a position in the frame of a reference patient: x to the right, y to the front, z to the head, in mm
from the middle of the disc between L5 and S1. A smooth random warp between the world and this frame makes every
patient different, while the structures themselves are simple implicit surfaces with fixed coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32

VoxelBlock: TypeAlias = tuple[slice, slice, slice]
"""A box of voxels."""
Field: TypeAlias = Float32[np.ndarray, "i j k"]
Tissue: TypeAlias = Callable[["Canvas", VoxelBlock, Field], Field] | float
"""HU of a painted structure: one number, or a function of the signed distance to its surface in mm."""

WARP_MM: Final = 4.0
"""Standard deviation of the random warp along each axis. The search for voxels of a shape allows for three times it."""


@runtime_checkable
class Shape(Protocol):
    """A shape that can be painted: a signed distance in mm (negative inside), and a box that holds the shape.

    ``lo`` and ``hi`` are the corners of the box in the reference frame, in mm.
    """

    lo: Float[np.ndarray, " 3"]
    hi: Float[np.ndarray, " 3"]

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Return the signed distance in mm at the voxels of a block."""
        ...


def wave_field(
    shape_ijk: tuple[int, int, int],
    affine: Float[np.ndarray, "4 4"],
    rng: np.random.Generator,
    *,
    wavelengths_mm: tuple[float, float],
    count: int,
) -> Field:
    """Return a smooth random field with zero mean and unit variance: a sum of plane waves of random direction.

    A plane wave on an affine grid is the outer product of one vector per axis. So the sum of all waves is one matrix
    product, of (voxels of a plane x waves) and (waves x planes).

    Args:
        shape_ijk: voxels along i, j and k.
        affine: ``_ijk`` to ``_ras`` mm.
        rng: draws directions, wavelengths and phases.
        wavelengths_mm: shortest and longest wavelength.
        count: number of waves.
    """
    slices, lines = [], []
    for _ in range(count):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        wave_number = 2.0 * np.pi / rng.uniform(*wavelengths_mm) * direction
        steps = affine[:3, :3].T @ wave_number
        phase = wave_number @ affine[:3, 3] + rng.uniform(0.0, 2.0 * np.pi)
        i, j, k = (np.exp(1j * step * np.arange(n)) for step, n in zip(steps, shape_ijk, strict=True))
        plane = (np.exp(1j * phase) * i[:, None] * j[None, :]).ravel()
        slices += [plane.real, -plane.imag]
        lines += [k.real, k.imag]
    left, right = np.stack(slices, -1).astype(np.float32), np.stack(lines).astype(np.float32)
    right *= np.float32(np.sqrt(2.0 / count))
    return np.asarray((left @ right).reshape(shape_ijk))


class Canvas:
    """The grid, the position of each voxel in the reference frame, and the structures painted so far.

    Attributes ``x``, ``y`` and ``z`` hold the positions in mm after the warp. ``bumps`` (wavelengths of 25 to 70 mm)
    and ``grain`` (9 to 24 mm) are random fields that shapes and tissues use for uneven surfaces and textures.

    Args:
        shape_ijk: voxels along i, j and k.
        affine: ``_ijk`` to ``_ras`` mm.
        patient_affine: ``_ras`` to the reference frame, before the warp.
        rng: draws the warp and the fields.
    """

    def __init__(
        self,
        shape_ijk: tuple[int, int, int],
        affine: Float[np.ndarray, "4 4"],
        patient_affine: Float[np.ndarray, "4 4"],
        rng: np.random.Generator,
    ) -> None:
        self.shape_ijk = shape_ijk
        self.affine = affine
        frame = patient_affine @ affine
        self._to_ijk = np.linalg.inv(frame)
        axes = []
        for row in range(3):
            warp = wave_field(shape_ijk, affine, rng, wavelengths_mm=(110.0, 320.0), count=4)
            warp *= np.float32(WARP_MM)
            for axis, n in enumerate(shape_ijk):
                line = (frame[row, axis] * np.arange(n)).astype(np.float32)
                warp += line.reshape([-1 if a == axis else 1 for a in range(3)])
            axes.append(warp + np.float32(frame[row, 3]))
        self.x, self.y, self.z = axes
        self.bumps = wave_field(shape_ijk, affine, rng, wavelengths_mm=(25.0, 70.0), count=8)
        self.grain = wave_field(shape_ijk, affine, rng, wavelengths_mm=(9.0, 24.0), count=8)
        self.hu = np.full(shape_ijk, -1000.0, np.float32)
        self.label_map = np.zeros(shape_ijk, np.uint8)
        spacing = np.linalg.norm(frame[:3, :3], axis=0)
        self.softness_mm = np.float32(np.cbrt(np.prod(spacing)))

    @property
    def whole(self) -> VoxelBlock:
        """VoxelBlock of all voxels."""
        i, j, k = self.shape_ijk
        return slice(0, i), slice(0, j), slice(0, k)

    def block(
        self, lo: Float[np.ndarray, " 3"], hi: Float[np.ndarray, " 3"], within: VoxelBlock | None = None
    ) -> VoxelBlock | None:
        """Return the block of voxels that may lie in a box of the reference frame; None if no voxel may.

        Args:
            lo: lower corner of the box in mm.
            hi: upper corner of the box in mm.
            within: block that limits the result; the whole grid by default.
        """
        margin = 3.0 * WARP_MM
        middle = self._to_ijk[:3, :3] @ (0.5 * (lo + hi)) + self._to_ijk[:3, 3]
        half = np.abs(self._to_ijk[:3, :3]) @ (0.5 * (hi - lo) + margin)
        starts, stops = np.floor(middle - half), np.ceil(middle + half) + 1.0
        limits = within or self.whole
        slices = [
            slice(max(int(a), s.start), min(int(b), s.stop)) for a, b, s in zip(starts, stops, limits, strict=True)
        ]
        if any(s.stop <= s.start for s in slices):
            return None
        return slices[0], slices[1], slices[2]

    def paint(self, shape: Shape, tissue: Tissue, label: int | None = None, within_label: int | None = None) -> None:
        """Paint one structure over the structures painted before.

        Args:
            shape: surface of the structure.
            tissue: HU of the structure.
            label: value in the label map; None leaves the label map unchanged.
            within_label: paint only on voxels that have this label.
        """
        block = self.block(shape.lo, shape.hi)
        if block is not None:
            allowed = None if within_label is None else self.label_map[block] == within_label
            self.paint_field(block, shape.distance(self, block), tissue, label, allowed)

    def paint_field(
        self,
        block: VoxelBlock,
        distance: Field,
        tissue: Tissue,
        label: int | None = None,
        allowed: Bool[np.ndarray, "i j k"] | None = None,
    ) -> None:
        """Paint a structure that is given by its signed distance in mm; the edge is blended over one voxel.

        Args:
            block: voxels to paint on.
            distance: signed distance of these voxels.
            tissue: HU of the structure.
            label: value in the label map; None leaves the label map unchanged.
            allowed: mask of the voxels that may be painted; None for all.
        """
        cover = np.clip(np.float32(0.5) - distance / self.softness_mm, 0.0, 1.0)
        if allowed is not None:
            cover *= allowed
        hu = self.hu[block]
        target = tissue(self, block, distance) if callable(tissue) else np.float32(tissue)
        hu += cover * (target - hu)
        if label is not None:
            self.label_map[block][cover >= 0.5] = label
