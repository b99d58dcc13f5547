"""Another body in another field of view: a smooth one-to-one map of a scan, never mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Num, UInt16
from scipy.interpolate import make_interp_spline
from scipy.ndimage import find_objects, gaussian_filter1d, map_coordinates

from medvlsam2 import geometry
from medvlsam2.data.volume import HU_MAX, HU_MIN
from medvlsam2.pixel_grid import centre_offsets, middle_of

MAX_ROTATION_DEGREES = 8.0
FOLD_LIMIT = 0.07
"""Control points of the random displacement move by this part of their distance (standard deviation), so no fold."""
END_MM = 4.0
"""So much is left out at either end of the scan, since a tilted slice reaches beyond it."""


@dataclass(frozen=True)
class Warp:
    """For each voxel of a new grid, where in the source it comes from; both grids are in RAS order."""

    source_ijk: Float[np.ndarray, "3 i j k"]
    affine: Float[np.ndarray, "4 4"]
    """Of the new grid."""
    spacing_mm: Float[np.ndarray, " 3"]
    """Of the new grid."""
    source_spacing_mm: Float[np.ndarray, " 3"]


def draw_warp(
    shape_ijk: tuple[int, int, int],
    affine: Float[np.ndarray, "4 4"],
    spacing_mm: Float[np.ndarray, " 3"],
    rng: np.random.Generator,
    *,
    scale: float,
    slab_mm: float | None,
    new_spacing_mm: Float[np.ndarray, " 3"],
) -> Warp:
    """Draw a map from a new grid into a scan in RAS order.

    Args:
        shape_ijk: the scan's voxels.
        affine: the scan's affine.
        spacing_mm: the scan's spacing.
        rng: source of every choice.
        scale: largest change of size along each axis, e.g. 0.15.
        slab_mm: length of the new scan along the body; None: all of it.
        new_spacing_mm: spacing of the new grid.
    """
    grow = 1.0 + rng.uniform(-scale, scale) * np.ones(3) + rng.uniform(-scale / 3, scale / 3, 3)
    extent_mm = np.asarray(shape_ijk) * spacing_mm * grow
    extent_mm[2] = max(extent_mm[2] - 2 * END_MM, extent_mm[2] / 2)
    first_mm = -extent_mm / 2
    if slab_mm is not None and slab_mm < extent_mm[2]:
        first_mm[2] += rng.uniform(0, extent_mm[2] - slab_mm)
        extent_mm[2] = slab_mm
    shape = np.maximum(np.rint(extent_mm / new_spacing_mm).astype(int), 2)
    axes = [first_mm[n] + centre_offsets(int(shape[n])) * new_spacing_mm[n] for n in range(3)]
    points_mm = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    moved_mm = points_mm + _smooth_displacement(axes, rng)
    moved_mm *= _habitus(points_mm / (np.asarray(shape_ijk) * spacing_mm * grow / 2)[:, None, None, None], rng)
    matrix = np.diag(1 / grow) @ _rotation(rng)
    source = np.einsum("ab,bijk->aijk", (matrix / spacing_mm[:, None]).astype(np.float32), moved_mm)
    source += middle_of(np.asarray(shape_ijk)).astype(np.float32)[:, None, None, None]
    direction = affine[:3, :3] / spacing_mm
    new_affine = np.eye(4)
    new_affine[:3, :3] = direction * new_spacing_mm
    centre = geometry.ijk_to_ras(middle_of(np.asarray(shape_ijk))[None], affine)[0]
    new_affine[:3, 3] = centre + direction @ np.array([axis[0] for axis in axes])
    return Warp(source, new_affine, new_spacing_mm, spacing_mm)


def warp_image(hu: Num[np.ndarray, "i j k"], warp: Warp) -> Float[np.ndarray, "x y z"]:
    """The image on the new grid; slices that grow thicker are averaged over their thickness."""
    values = np.asarray(hu, dtype=np.float32)
    for axis, (new_mm, old_mm) in enumerate(zip(warp.spacing_mm, warp.source_spacing_mm, strict=True)):
        if new_mm > old_mm:
            values = gaussian_filter1d(values, 0.42 * np.sqrt(new_mm**2 - old_mm**2) / old_mm, axis=axis)
    image: np.ndarray = map_coordinates(values, _within_slices(warp, hu.shape[2]), order=3, cval=HU_MIN)
    return np.clip(image, HU_MIN, HU_MAX)


def warp_labels(labels: Integer[np.ndarray, "i j k"], warp: Warp) -> UInt16[np.ndarray, "x y z"]:
    """The label map on the new grid, with borders as smooth as linear interpolation makes them."""
    at = _within_slices(warp, labels.shape[2])
    nearest: np.ndarray = map_coordinates(labels.astype(np.int32), at, order=0, cval=0)
    best: np.ndarray = map_coordinates((labels == 0).astype(np.float32), at, order=1, cval=1.0)
    result = np.zeros(nearest.shape, dtype=np.uint16)
    reach = np.ceil(1.5 * warp.source_spacing_mm / warp.spacing_mm).astype(int)
    for value, box in enumerate(find_objects(nearest), start=1):
        if box is None:
            continue
        near = tuple(slice(max(s.start - r, 0), s.stop + r) for s, r in zip(box, reach, strict=True))
        share = map_coordinates((labels == value).astype(np.float32), at[:, *near], order=1, cval=0.0)
        wins = share > best[near]
        result[near][wins] = value
        best[near][wins] = share[wins]
    return result


def _within_slices(warp: Warp, depth: int) -> Float[np.ndarray, "3 i j k"]:
    """Coordinates that stay between the first and the last slice."""
    at = warp.source_ijk.copy()
    np.clip(at[2], 0, depth - 1, out=at[2])
    return at


def _smooth_displacement(axes: list[Float[np.ndarray, " _"]], rng: np.random.Generator) -> Float[np.ndarray, "3 i j k"]:
    """Random displacement in mm, a cubic spline through control points 45 to 90 mm apart."""
    apart_mm = rng.uniform(45.0, 90.0)
    deviation_mm = rng.uniform(0.2, 1.0) * FOLD_LIMIT * apart_mm
    weights = []
    for axis in axes:
        count = max(int(np.ceil((axis[-1] - axis[0]) / apart_mm)), 0) + 4
        knots = axis.mean() + (np.arange(count) - middle_of(count)) * apart_mm
        weights.append(make_interp_spline(knots, np.eye(count), k=3)(axis).astype(np.float32))
    control = rng.normal(0, deviation_mm, (3, *(w.shape[1] for w in weights))).astype(np.float32)
    return np.einsum("xabc,ia,jb,kc->xijk", control, *weights, optimize=True)


def _habitus(relative: Float[np.ndarray, "3 i j k"], rng: np.random.Generator) -> Float[np.ndarray, "3 i j k"]:
    """Factor by which points lie further out or in: thicker or thinner outer layers round unchanged organs."""
    growth = rng.uniform(-0.1, 0.1)
    squared = np.minimum(relative[0] ** 2 + relative[1] ** 2, 1.2)
    factor = (1.0 + growth * squared).astype(np.float32)
    return np.stack([factor, factor, np.ones_like(factor)])


def _rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A small rotation, mostly about the long axis of the body."""
    about_x, about_y, about_z = np.deg2rad(rng.uniform(-1, 1, 3) * MAX_ROTATION_DEGREES * np.array([0.5, 0.5, 1.0]))
    cx, sx, cy, sy = np.cos(about_x), np.sin(about_x), np.cos(about_y), np.sin(about_y)
    cz, sz = np.cos(about_z), np.sin(about_z)
    rotation_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    rotation_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rotation_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(rotation_z @ rotation_y @ rotation_x)
