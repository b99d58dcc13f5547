"""A mask by brightness alone, where the model finds nothing at a box or a click.

Nothing here knows anatomy. In a box, the object is every voxel as bright as the middle of the box, within the ellipsoid
that fits into the box. Around a click, it is every near voxel as bright as the clicked one and connected to it. Such a
mask is a start for corrections, and the caller must tell the annotator so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2 import voxel_box
from medvlsam2.data.volume import CTVolume
from medvlsam2.pixel_grid import centre_shares
from medvlsam2.tasks.prompts import BESIDE, ON_OBJECT, ObjectPrompt
from medvlsam2.voxel_box import BoxIJK, voxel_of

CORE: Final = 0.5
"""The middle of a box, as a share of its sizes: its brightness is taken as the object's."""
TOLERANCE: Final = 2.0
"""A voxel belongs to the object if it differs from the sample's median by at most so many robust deviations …"""
MIN_TOLERANCE_HU: Final = 40.0
"""… or by at most so many HU: the noise of a CT in soft tissue, and half of what tells soft tissue from fat."""
MIN_SHARE: Final = 0.1
"""If a smaller share of the ellipsoid is left, brightness tells nothing, and the whole ellipsoid is the mask."""
REACH_MM: Final = 20.0
"""Voxels farther from a click than this are never taken."""
HU_RANGE: Final = (-1000.0, 1000.0)
"""Values are cut to this range: whatever is lower is air, and whatever is higher is metal."""


def by_intensity(volume: CTVolume, prompt: ObjectPrompt) -> Bool[np.ndarray, "i j k"]:
    """The mask by brightness in the prompt's box or around its clicks and strokes; never empty, never outside a box.

    Args:
        volume: the scan.
        prompt: with a box, a click or a stroke on the object, in the scan.
    """
    inside = _spots(volume, prompt, ON_OBJECT)
    outside = _spots(volume, prompt, BESIDE)
    if prompt.box_ijk is not None:
        mask = _in_box(volume, prompt.box_ijk)
    else:
        mask = _round_spots(volume, inside)
    if len(outside) and len(inside):
        mask &= _is_nearer(volume, mask, inside, outside)
    return mask


def _in_box(volume: CTVolume, box_ijk: BoxIJK) -> Bool[np.ndarray, "i j k"]:
    place = voxel_box.slices(box_ijk, volume.shape_ijk)
    radius = _radius([one.stop - one.start for one in place])
    ellipsoid = radius <= 1.0
    hu = _smooth(volume.hu[place])
    middle = hu[radius <= CORE]
    like = _is_like(hu, middle) & ellipsoid
    filled = ndimage.binary_fill_holes(_largest(like))
    chosen = filled if filled.sum() >= MIN_SHARE * ellipsoid.sum() else ellipsoid
    mask = np.zeros(volume.shape_ijk, dtype=bool)
    mask[place] = chosen
    return mask


def _round_spots(volume: CTVolume, spots_ijk: Sequence[tuple[int, int, int]]) -> Bool[np.ndarray, "i j k"]:
    """Voxels that are as bright as a spot, connected to it, and near."""
    mask = np.zeros(volume.shape_ijk, dtype=bool)
    reach = [int(np.ceil(REACH_MM / mm)) for mm in volume.spacing_mm]
    for spot in spots_ijk:
        place = tuple(
            slice(max(0, at - far), min(size, at + far + 1))
            for at, far, size in zip(spot, reach, volume.shape_ijk, strict=True)
        )
        local = tuple(at - part.start for at, part in zip(spot, place, strict=True))
        hu = _smooth(volume.hu[place])
        near = _distance_mm(hu.shape, local, volume.spacing_mm) <= REACH_MM
        core = hu[tuple(slice(max(0, at - 1), at + 2) for at in local)]
        like = _is_like(hu, core) & near
        like[local] = True
        labels, _ = ndimage.label(like)
        mask[place] |= ndimage.binary_fill_holes(labels == labels[local])
    return mask


def _spots(volume: CTVolume, prompt: ObjectPrompt, meaning: int) -> list[tuple[int, int, int]]:
    """Voxels of clicks and strokes of one kind."""
    wanted = 1 if meaning == ON_OBJECT else 0
    clicked = [
        voxel_of(point, volume.shape_ijk)
        for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True)
        if label == wanted
    ]
    if prompt.scribbles is None:
        return clicked
    drawn = np.argwhere(prompt.scribbles == meaning)
    step = max(1, len(drawn) // 16)
    return clicked + [(int(i), int(j), int(k)) for i, j, k in drawn[::step]]


def _is_like(hu: Float[np.ndarray, "i j k"], middle: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "i j k"]:
    """Whether a voxel is as bright as a sample, by its median and its robust deviation."""
    median = float(np.median(middle))
    deviation = 1.4826 * float(np.median(np.abs(middle - median)))
    return np.abs(hu - median) <= max(MIN_TOLERANCE_HU, TOLERANCE * deviation)


def _smooth(hu: np.ndarray) -> Float[np.ndarray, "i j k"]:
    return ndimage.gaussian_filter(np.clip(hu.astype(np.float32), *HU_RANGE), sigma=0.7)


def _largest(mask: Bool[np.ndarray, "i j k"]) -> Bool[np.ndarray, "i j k"]:
    labels, count = ndimage.label(mask)
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if count else mask


def _radius(sizes: Sequence[int]) -> Float[np.ndarray, "i j k"]:
    """Distance of each voxel from the middle of a block, 1 on the surface of the ellipsoid that the block holds."""
    axes = [centre_shares(size) * 2.0 - 1.0 for size in sizes]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(i**2 + j**2 + k**2)


def _distance_mm(
    shape: tuple[int, ...], from_ijk: Sequence[int], spacing_mm: Sequence[float]
) -> Float[np.ndarray, "i j k"]:
    axes = [(np.arange(size) - at) * mm for size, at, mm in zip(shape, from_ijk, spacing_mm, strict=True)]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(i**2 + j**2 + k**2)


def _is_nearer(
    volume: CTVolume,
    mask: Bool[np.ndarray, "i j k"],
    to_ijk: Sequence[tuple[int, int, int]],
    than_ijk: Sequence[tuple[int, int, int]],
) -> Bool[np.ndarray, "i j k"]:
    """Whether a voxel of a mask is nearer to one kind of spot than to the other."""
    places = np.argwhere(mask) * np.asarray(volume.spacing_mm)

    def least(spots: Sequence[tuple[int, int, int]]) -> np.ndarray:
        scaled = np.asarray(spots) * np.asarray(volume.spacing_mm)
        distances = np.stack([((places - spot) ** 2).sum(axis=1) for spot in scaled])
        return np.asarray(distances.min(axis=0))

    nearer = np.zeros(mask.shape, dtype=bool)
    nearer[mask] = least(to_ijk) <= least(than_ijk)
    return nearer
