"""Surface measures of one mask against its truth, and the block that holds a mask, on the scan's own grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool
from scipy import ndimage

NSD_TOLERANCE_MM: Final = 2.0
_MARGIN: Final = 1

Mask = Bool[np.ndarray, "i j k"]


def surface_dice(
    predicted: Mask, truth: Mask, spacing_mm: Sequence[float], tolerance_mm: float = NSD_TOLERANCE_MM
) -> float:
    """Normalised surface Dice: the share of both surfaces that lies within the tolerance of the other one.

    Surface area is DeepMind's, by MONAI; faces of a mask that the scan's edge cuts count as surface.

    Args:
        predicted: what the model found.
        truth: what is there.
        spacing_mm: of the voxels along i, j, k.
        tolerance_mm: how far off still counts as right.
    """
    if not predicted.any() or not truth.any():
        return float(predicted.any() == truth.any())
    # MONAI takes 2 s to import: not before the first scan is read
    from monai.metrics.surface_dice import compute_surface_dice

    box = bounding_slices(predicted | truth)
    one, other = (torch.from_numpy(np.pad(mask[box], _MARGIN))[None, None].float() for mask in (predicted, truth))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*always_return_as_numpy")
        score = compute_surface_dice(
            one, other, [tolerance_mm], include_background=True, spacing=list(spacing_mm), use_subvoxels=True
        )
    return float(score)


def bounding_slices(mask: Mask) -> tuple[slice, ...]:
    """The smallest block that holds a mask, which must not be empty.

    Example:
        >>> mask = np.zeros((4, 4, 4), dtype=bool)
        >>> mask[1, 2, 0:2] = True
        >>> bounding_slices(mask)
        (slice(1, 2, None), slice(2, 3, None), slice(0, 2, None))
    """
    block: tuple[slice, ...] = ndimage.find_objects(mask.view(np.uint8))[0]
    return block
