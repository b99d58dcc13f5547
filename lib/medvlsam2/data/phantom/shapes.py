"""Implicit surfaces: shapes that give the signed distance in mm (negative inside) in the reference patient's frame.

The exact distance to most shapes is expensive. These shapes give a first-order estimate: a function f that is 0 on the
surface, divided by the length of its gradient. The estimate is accurate near the surface, where the edge of a structure
is blended over one voxel. Far from the surface it may be any number of the right sign. Each shape has a box ``lo`` to
``hi``; the painter does not ask for distances outside it.

Shapes are combined by their distances: the minimum of two distances is their union, the maximum is their intersection,
and the maximum with a negated distance cuts a shape out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float, Num
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from medvlsam2.data.phantom.canvas import Canvas, Field, Shape, VoxelBlock

FAR_MM: Final = 40.0
"""Distance in mm that a tube returns for voxels that are too far from the tube to be evaluated."""

Real: TypeAlias = float | int
Vector: TypeAlias = Sequence[Real] | Num[np.ndarray, " 3"]
"""A position, a direction or three sizes in the reference frame."""


def smooth_min(a: Field, b: Field, blend_mm: float) -> Field:
    """Return the minimum of two distances with a rounded edge (fillet) of about ``blend_mm`` where they are equal."""
    overlap = np.maximum(np.float32(blend_mm) - np.abs(a - b), 0.0)
    return np.minimum(a, b) - overlap * overlap * np.float32(0.25 / blend_mm)


class Ellipsoid:
    """A rotated ellipsoid.

    Args:
        center: centre in mm.
        radii: radii in mm.
        rotation_degrees: angles of the rotations about x, then y, then z.
        bump_mm: amplitude of random bumps of the surface.
    """

    def __init__(
        self, center: Vector, radii: Vector, rotation_degrees: Vector = (0.0, 0.0, 0.0), bump_mm: float = 0.0
    ) -> None:
        self.center = np.asarray(center, float)
        self.radii = np.asarray(radii, float)
        self.bump_mm = bump_mm
        self._rotation = Rotation.from_euler("xyz", rotation_degrees, degrees=True).as_matrix()
        reach = np.sqrt(((self._rotation * self.radii) ** 2).sum(1)) + 2.0 * bump_mm + 4.0
        self.lo, self.hi = self.center - reach, self.center + reach

    def surface_point(self, direction: Vector) -> Float[np.ndarray, " 3"]:
        """Return the point of the surface that lies in a direction from the centre."""
        way = np.asarray(direction, float)
        return self.center + way / float(np.linalg.norm((self._rotation.T @ way) / self.radii))

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Return the signed distance in mm at the voxels of a block.

        With level = |position / radii|, the function level - 1 is 0 on the surface; it is divided by its gradient.
        """
        x, y, z = (
            field[block] - np.float32(c) for field, c in zip((canvas.x, canvas.y, canvas.z), self.center, strict=True)
        )
        near = np.zeros(x.shape, np.float32)
        slope = np.full(x.shape, 1e-12, np.float32)
        for axis, radius in zip(self._rotation.T.astype(np.float32), self.radii, strict=True):
            along = (axis[0] * x + axis[1] * y + axis[2] * z) / np.float32(radius)
            along *= along
            near += along
            slope += along / np.float32(radius * radius)
        level = np.sqrt(near)
        distance = level * (level - 1.0) / np.sqrt(slope)
        return distance + np.float32(self.bump_mm) * canvas.bumps[block] if self.bump_mm else distance


class Tube:
    """A round tube along a spline, with a radius that varies along the spline.

    Args:
        points: control points in mm.
        radii: radius in mm at each control point.
        samples: number of straight pieces that approximate the spline.
        bump_mm: amplitude of random bumps of the surface.
        reach_mm: distance from the surface up to which the distance is evaluated.
        ripple: relative amplitude and number of waves of the radius along the tube (haustra of the colon).
    """

    def __init__(
        self,
        points: Sequence[Vector],
        radii: Sequence[Real],
        *,
        samples: int = 24,
        bump_mm: float = 0.0,
        reach_mm: float = 4.0,
        ripple: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        knots = np.asarray(points, float)
        chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
        at = np.linspace(0.0, chord[-1], samples + 1)
        self.points = CubicSpline(chord, knots, bc_type="natural")(at)
        swell = 1.0 + ripple[0] * np.sin(2.0 * np.pi * ripple[1] * at / chord[-1])
        self.radii = np.interp(at, chord, np.asarray(radii, float)) * swell
        self.bump_mm = bump_mm
        self.reach_mm = reach_mm + 2.0 * bump_mm
        widest = self.radii[:, None] + self.reach_mm
        self.lo, self.hi = (self.points - widest).min(0), (self.points + widest).max(0)

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Return the signed distance in mm at the voxels of a block: the minimum over the straight pieces."""
        out = np.full([s.stop - s.start for s in block], FAR_MM, np.float32)
        for a, b, ra, rb in zip(self.points, self.points[1:], self.radii, self.radii[1:], strict=False):
            reach = max(ra, rb) + self.reach_mm
            part = canvas.block(np.minimum(a, b) - reach, np.maximum(a, b) + reach, block)
            if part is None:
                continue
            inside = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, block, strict=True))
            piece = _capsule(canvas, part, a, b - a, (float(ra), float(rb - ra)))
            out[inside] = np.minimum(out[inside], piece)
        return out + np.float32(self.bump_mm) * canvas.bumps[block] if self.bump_mm else out


def _capsule(
    canvas: Canvas,
    block: VoxelBlock,
    start: Float[np.ndarray, " 3"],
    along: Float[np.ndarray, " 3"],
    radius: tuple[float, float],
) -> Field:
    """Return the signed distance to a straight piece of a tube with round ends.

    Args:
        canvas: the grid.
        block: voxels.
        start: first end of the axis in mm.
        along: vector from the first end to the second end.
        radius: radius at the first end, and its change to the second end.
    """
    x, y, z = (field[block] - np.float32(c) for field, c in zip((canvas.x, canvas.y, canvas.z), start, strict=True))
    u, v, w = along.astype(np.float32)
    t = np.clip((x * u + y * v + z * w) / np.float32(max(float(along @ along), 1e-9)), 0.0, 1.0)
    x -= t * u
    y -= t * v
    z -= t * w
    return np.sqrt(x * x + y * y + z * z) - (np.float32(radius[0]) + t * np.float32(radius[1]))


class Plate:
    """A bent elliptic plate, such as the wing of the ilium or the scapula.

    Args:
        center: centre in mm.
        along: direction of the first half axis.
        across: direction of the second half axis; it is made orthogonal to the first.
        half_mm: half length along the first axis, half length along the second axis, and half thickness.
        bend_per_mm: height of the bend per squared distance along the first axis.
    """

    def __init__(
        self, center: Vector, along: Vector, across: Vector, half_mm: Vector, bend_per_mm: float = 0.0
    ) -> None:
        u = np.asarray(along, float) / np.linalg.norm(along)
        v = np.asarray(across, float) - (np.asarray(across, float) @ u) * u
        v /= np.linalg.norm(v)
        self.center = np.asarray(center, float)
        self._axes = np.stack([u, v, np.cross(u, v)]).astype(np.float32)
        self.half_mm = tuple(float(h) for h in half_mm)
        self.bend_per_mm = np.float32(bend_per_mm)
        size = np.array([half_mm[0], half_mm[1], half_mm[2] + abs(bend_per_mm) * half_mm[0] ** 2])
        reach = np.abs(self._axes.T) @ size + 4.0
        self.lo, self.hi = self.center - reach, self.center + reach

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        x, y, z = (
            field[block] - np.float32(c) for field, c in zip((canvas.x, canvas.y, canvas.z), self.center, strict=True)
        )
        u, v, n = (axis[0] * x + axis[1] * y + axis[2] * z for axis in self._axes)
        half_u, half_v, half_n = self.half_mm
        rim = (np.sqrt((u / half_u) ** 2 + (v / half_v) ** 2) - 1.0) * np.float32(min(half_u, half_v))
        return np.maximum(np.abs(n - self.bend_per_mm * u * u) - np.float32(half_n), rim)


class HalfRing:
    """The front half of an elliptic ring with upright walls, such as a jaw or a row of teeth.

    Args:
        center: centre in mm, in the plane of the two ends.
        half_axes: half axes of the ellipse along x and y in mm, to the middle of the wall.
        half_mm: half thickness and half height of the wall.
        slope: rise of the ring in mm per mm along y.
    """

    def __init__(
        self, center: Vector, half_axes: tuple[Real, Real], half_mm: tuple[Real, Real], slope: float = 0.0
    ) -> None:
        self.center = np.asarray(center, float)
        self.half_axes = half_axes
        self.half_mm = half_mm
        self.slope = np.float32(slope)
        thick, tall = half_mm
        rise = sorted((0.0, slope * half_axes[1]))
        width, reach = half_axes[0] + thick + 4.0, half_axes[1] + thick + 4.0
        self.lo = self.center + np.array([-width, -4.0, rise[0] - tall - 4.0])
        self.hi = self.center + np.array([width, reach, rise[1] + tall + 4.0])

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        x, y, z = (
            field[block] - np.float32(c) for field, c in zip((canvas.x, canvas.y, canvas.z), self.center, strict=True)
        )
        a, b = (np.float32(v) for v in self.half_axes)
        u, v = x / a, y / b
        level = np.sqrt(u * u + v * v)
        slope = np.sqrt((u / a) ** 2 + (v / b) ** 2) + np.float32(1e-6)
        across = np.abs(level * (level - np.float32(1.0)) / slope) - np.float32(self.half_mm[0])
        upright = np.abs(z - self.slope * y) - np.float32(self.half_mm[1])
        return np.maximum(np.maximum(across, upright), -y)


class Union:
    """The union of several shapes, with rounded edges of about ``blend_mm`` where they meet."""

    def __init__(self, *parts: Shape, blend_mm: float = 6.0) -> None:
        self.parts = parts
        self.blend_mm = blend_mm
        self.lo = np.min([part.lo for part in parts], axis=0)
        self.hi = np.max([part.hi for part in parts], axis=0)

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        total = self.parts[0].distance(canvas, block)
        for part in self.parts[1:]:
            total = smooth_min(total, part.distance(canvas, block), self.blend_mm)
        return total


class Without:
    """A shape from which other shapes are cut out, each enlarged by a gap."""

    def __init__(self, shape: Shape, *cuts: Shape, gap_mm: float = 0.0) -> None:
        self.shape = shape
        self.cuts = cuts
        self.gap_mm = gap_mm
        self.lo, self.hi = shape.lo, shape.hi

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        total = self.shape.distance(canvas, block)
        for cut in self.cuts:
            total = np.maximum(total, np.float32(self.gap_mm) - cut.distance(canvas, block))
        return total


class Grown:
    """A shape that is enlarged (or, with a negative number, shrunk) by some mm."""

    def __init__(self, shape: Shape, by_mm: float) -> None:
        self.shape = shape
        self.by_mm = by_mm
        self.lo, self.hi = shape.lo - by_mm, shape.hi + by_mm

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        return self.shape.distance(canvas, block) - np.float32(self.by_mm)
