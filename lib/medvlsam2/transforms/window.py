"""From Hounsfield units to the grey values that SAM 2 sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Integer, Num
from torch import Tensor

from medvlsam2 import voxel_box
from medvlsam2.data.structures.table import Window
from medvlsam2.voxel_box import BoxIJK

WINDOWS_HU: Final[dict[str, tuple[float, float]]] = {
    "soft": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
}
"""Level and width of each display window in HU."""

WHOLE_VOLUME_RANGE_HU: Final = (-1000.0, 1000.0)
"""What the whole-volume encoder sees, scaled to 0..1."""

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)


def apply_window(hu: Num[Tensor, "*shape"], window: Window) -> Float[Tensor, "*shape"]:
    """Grey values 0..1 of Hounsfield units."""
    level_hu, width_hu = WINDOWS_HU[window]
    return ((hu.float() - (level_hu - width_hu / 2)) / width_hu).clamp(0.0, 1.0)


def scale_whole_volume(hu: Num[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The whole-volume encoder's 0..1 of Hounsfield units."""
    low_hu, high_hu = WHOLE_VOLUME_RANGE_HU
    return ((hu.float() - low_hu) / (high_hu - low_hu)).clamp(0.0, 1.0)


def normalise(grey: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """ImageNet's mean and deviation, as SAM 2's weights expect (sam2: utils/transforms.py)."""
    mean = torch.tensor(_IMAGENET_MEAN, device=grey.device).view(1, 3, 1, 1)
    std = torch.tensor(_IMAGENET_STD, device=grey.device).view(1, 3, 1, 1)
    return (grey - mean) / std


AIR_HU: Final = -250
BONE_HU: Final = 250
MIN_SHARE: Final[dict[Window, float]] = {"bone": 0.005, "lung": 0.3}
"""Share of a box that bone or air must have."""
MIN_RATIO: Final = 1.3
"""How much denser it must be in a box than right outside of it."""


def window_at(hu: float) -> Window:
    """The window in which a clicked voxel can be told from its surroundings."""
    if hu < AIR_HU:
        return "lung"
    return "bone" if hu > BONE_HU else "soft"


def window_of_box(hu: Integer[np.ndarray, "i j k"], box_ijk: BoxIJK) -> Window:
    """The window of the object that a box was drawn round: bone or air that the box holds and its surroundings do not.

    A box round a mandible has a tongue in its middle, and one round the larynx has air. What an object is made of is
    dense within its box and rarer right outside of it, since there the object has ended; the spine behind the spinal
    cord goes on. The thresholds are those with which most structures of the real training scans get their own window.

    Args:
        hu: the scan.
        box_ijk: half-open.
    """
    i0, i1, j0, j1, k0, k1 = box_ijk
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    inside = hu[voxel_box.slices(box_ijk, shape)]
    wider = hu[voxel_box.slices((i0 - 1, i1 + 1, j0 - 1, j1 + 1, k0 - 1, k1 + 1), shape)]
    shell_voxels = max(wider.size - inside.size, 1)
    kinds: tuple[tuple[Window, Callable[[np.ndarray], np.ndarray]], ...] = (
        ("bone", lambda part: part > BONE_HU),
        ("lung", lambda part: part < AIR_HU),
    )
    for window, is_kind in kinds:
        count = int(is_kind(inside).sum())
        share, outside = count / inside.size, (int(is_kind(wider).sum()) - count) / shell_voxels
        if share >= MIN_SHARE[window] and share >= MIN_RATIO * outside:
            return window
    return "soft"
