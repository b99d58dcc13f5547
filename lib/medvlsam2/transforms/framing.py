"""Which part of a scan the model sees, and which way up: axial slices as radiologists view them, cut round the body."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
from jaxtyping import Int
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.data.volume import CTVolume
from medvlsam2.transforms.spatial import Crop, SpatialRecord

BODY_HU: Final = -400
"""Voxels above this are taken for body when the crop is placed: air and lung lie below -500, fat at -100."""
BODY_SHARE: Final = 0.05
"""A pixel counts if it is body on this share of the slices: what few slices show, such as a tube, widens no crop."""
MARGIN_MM: Final = 8.0
"""Air left around the body in the crop."""
Plane = Literal["axial", "coronal"]
_GRID_AXES: Final[dict[Plane, dict[int, tuple[int, int]]]] = {
    "axial": {2: (0, 1), 1: (1, -1), 0: (2, -1)},
    "coronal": {1: (0, 1), 2: (1, -1), 0: (2, -1)},
}
"""By plane of the slices: world axis (R, A, S = 0, 1, 2) → model axis (d, h, w = 0, 1, 2) and its sign."""


def plan(volume: CTVolume, side: int, plane: Plane = "axial") -> SpatialRecord:
    """Decide the orientation and the crop for a scan.

    Args:
        volume: the scan.
        side: side of the model's square slices in pixels.
        plane: of the slices, as radiologists view it.
    """
    axes, flips = [0, 0, 0], [False, False, False]
    for axis, (world, sign) in enumerate(geometry.closest_axes(volume.affine)):
        model_axis, model_sign = _GRID_AXES[plane][world]
        axes[model_axis], flips[model_axis] = axis, sign != model_sign
    record = SpatialRecord(
        source_shape_ijk=volume.shape_ijk,
        source_affine=volume.affine,
        axes=(axes[0], axes[1], axes[2]),
        flips=(flips[0], flips[1], flips[2]),
        crop_hw=(0, 1, 0, 1),  # until the body is found on the oriented slices
        side=side,
    )
    spacing = volume.spacing_mm
    crop = _square_round_body(record.orient(volume.hu), (spacing[axes[1]], spacing[axes[2]]))
    return replace(record, crop_hw=crop)


def _square_round_body(oriented: Int[np.ndarray, "d h w"], spacing_hw_mm: tuple[float, float]) -> Crop:
    """Crop of equal height and width in mm round the body's bounding box."""
    held = np.zeros(oriented.shape[1:], dtype=int)
    for one in oriented:  # slice by slice: a mask of a long scan would take half the scan's memory
        held += one > BODY_HU
    body = held >= max(1, round(BODY_SHARE * oriented.shape[0]))
    blocks = ndimage.find_objects(body.view(np.uint8))
    edges = [(one.start, one.stop) for one in blocks[0]] if blocks else [(0, size) for size in body.shape]
    side_mm = max((end - first) * mm for (first, end), mm in zip(edges, spacing_hw_mm, strict=True)) + 2 * MARGIN_MM
    crop: list[int] = []
    for (first, end), mm in zip(edges, spacing_hw_mm, strict=True):
        length = max(1, round(side_mm / mm))
        start = round((first + end - length) / 2)
        crop += [start, start + length]
    return crop[0], crop[1], crop[2], crop[3]
