"""Intensity augmentation in Hounsfield units by MONAI's transforms, as if by other scanners; some 10 ms for a scan.

Nothing here moves a voxel, so masks stay as they are, and nothing is ever mirrored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.array import RandAdjustContrast

CONTRAST_RANGE_HU: Final = (-250.0, 350.0)
"""The contrast is changed (gamma) between these; lower and higher HU stay as they are."""
MAX_NOISE_HU: Final = 16.0
"""Largest standard deviation of the added noise."""


def augment(hu: Float[Tensor, "n c s s"], rng: np.random.Generator) -> Float[Tensor, "n c s s"]:
    """Change contrast, brightness, sharpness, resolution and noise, alike for all slices of a scan.

    Args:
        hu: slices in HU, with their neighbours as channels where the model sees those.
        rng: source of every choice.
    """
    flat = hu.flatten(0, 1)
    seed, noise_hu = int(rng.integers(2**31)), float(rng.uniform(0.0, MAX_NOISE_HU))
    contrast, scanner = _transforms(seed)
    bent = flat.clamp(*CONTRAST_RANGE_HU)
    flat = flat + (_plain(contrast(bent)) - bent)
    # Four times as fast as MONAI's noise, which draws in double precision.
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(seed))
    return (_plain(scanner(flat)) + noise_hu * noise).reshape(hu.shape)


def _plain(image: object) -> Tensor:
    """Without MONAI's metadata, which every operation of the model would carry along."""
    from monai.utils.type_conversion import convert_to_tensor

    return cast(Tensor, convert_to_tensor(image, track_meta=False))


def _transforms(seed: int) -> tuple[RandAdjustContrast, Compose]:
    """The change of contrast, and the effects of a scanner in their physical order."""
    # MONAI takes 2 s to import: not before a training has begun
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.array import (
        RandAdjustContrast,
        RandGaussianSharpen,
        RandGaussianSmooth,
        RandScaleIntensity,
        RandShiftIntensity,
    )
    from monai.transforms.spatial.array import RandSimulateLowResolution

    contrast = RandAdjustContrast(prob=0.3, gamma=(0.75, 1.35))
    scanner = Compose(
        [
            RandScaleIntensity(factors=0.07, prob=0.8),
            RandShiftIntensity(offsets=12.0, prob=0.8),
            # MONAI's default, nearest, would push the image to the right and down by up to 1.6 pixels.
            RandSimulateLowResolution(
                prob=0.15,
                zoom_range=(0.4, 1.0),
                downsample_mode="area",
                upsample_mode="bilinear",
                align_corners=False,
            ),
            RandGaussianSmooth(sigma_x=(0.3, 1.2), sigma_y=(0.3, 1.2), prob=0.15),
            RandGaussianSharpen(
                sigma1_x=(0.8, 0.8), sigma1_y=(0.8, 0.8), sigma2_x=0.4, sigma2_y=0.4, alpha=(0.2, 1.0), prob=0.15
            ),
        ]
    )
    contrast.set_random_state(seed)
    scanner.set_random_state(seed)
    return contrast, scanner
