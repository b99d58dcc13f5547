"""From Hounsfield units to the grey values that SAM 2 sees."""

from __future__ import annotations

from typing import Final, Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor

Window = Literal["soft", "lung", "bone", "brain"]

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


def window_at(hu: float) -> Window:
    """The window in which a clicked voxel can be told from its surroundings."""
    if hu < -250:
        return "lung"
    return "bone" if hu > 250 else "soft"
