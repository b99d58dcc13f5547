"""Measures of masks by plain numpy: volume, diameters on a slice, mean HU, slices, distance."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from scipy import ndimage

from medvlsam2.data.volume import CTVolume
from medvlsam2.evaluation.metrics import Mask


def volume_ml(mask: Mask, volume: CTVolume) -> float:
    """Voxels times the volume of one voxel."""
    return float(mask.sum()) * abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000


def mean_hu(mask: Mask, volume: CTVolume) -> float:
    """Mean over all voxels of a mask, which must not be empty."""
    return float(volume.hu[mask].mean())


def inside(mask: Mask) -> Mask:
    """A mask without its outermost voxels, which mix two tissues."""
    inner: Mask = ndimage.binary_erosion(mask)
    return inner


def slice_axis(volume: CTVolume) -> int:
    """Array axis that runs most along the patient's long axis."""
    columns = np.abs(volume.affine[:3, :3]) / np.linalg.norm(volume.affine[:3, :3], axis=0)
    return int(columns[2].argmax())


def slices(mask: Mask, volume: CTVolume) -> tuple[int, int]:
    """First and last slice of a mask, which must not be empty; from 0, both inside."""
    axis = slice_axis(volume)
    held = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    return int(held[0]), int(held[-1])


def diameters_mm(mask: Mask, volume: CTVolume) -> tuple[float, float]:
    """Longest distance of two voxels on one slice, and the extent across it on this slice; a voxel's width is added.

    Every pair of edge voxels is compared, so this is slow and sure.
    """
    axis = slice_axis(volume)
    spacing = np.delete(np.linalg.norm(volume.affine[:3, :3], axis=0), axis)
    best = (0.0, 0.0)
    for plane in np.moveaxis(mask, axis, 0):
        if not plane.any():
            continue
        edge = plane & ~ndimage.binary_erosion(plane)
        points = np.argwhere(edge) * spacing
        apart = points[:, None] - points[None]
        squared = (apart**2).sum(axis=2)
        longest = float(np.sqrt(squared.max()))
        if longest + spacing.min() > best[0]:
            along = apart[np.unravel_index(int(squared.argmax()), squared.shape)]
            across = points @ np.array([-along[1], along[0]]) / (longest or 1.0)
            best = (longest + float(spacing.min()), float(np.ptp(across) + spacing.min()))
    return best


def distance_mm(masks: Sequence[Mask], others: Sequence[Mask], volume: CTVolume) -> float:
    """Shortest distance of a voxel centre of one set of masks from one of another; 0 if they touch or overlap."""
    first, second = np.logical_or.reduce(masks), np.logical_or.reduce(others)
    if (ndimage.binary_dilation(first, np.ones((3, 3, 3), dtype=bool)) & second).any():
        return 0.0
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    return float(ndimage.distance_transform_edt(~second, sampling=spacing)[first].min())


def length_mm(mask: Mask, volume: CTVolume) -> float:
    """Longest distance of two voxels in space, plus a voxel's width."""
    from scipy.spatial import ConvexHull, QhullError

    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    points = np.argwhere(mask) * spacing
    with suppress(QhullError):  # Fewer points than a hull in space needs: all of them are compared.
        points = points[ConvexHull(points, qhull_options="QJ").vertices]  # "QJ" also takes points of one plane
    apart = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    return float(np.sqrt(apart.max()) + spacing.min())
