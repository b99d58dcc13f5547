"""Mask logits on the scan's own pixels, with edges where the scan has edges.

The mask grid is several times coarser than the scan. Enlarged alone, a mask's edge is smooth and lies where the coarse
pixels leave it. In a small window, however, logits and HU go together wherever an organ differs from what is round it;
a guided filter fits that line and tells which of the scan's pixels lie on which side. Only what it adds to the mean of
its window is taken, so a mask whose edge cannot be seen stays as it was, and no more than a click weighs. Reference:
He and Sun, Fast Guided Filter (arXiv 1505.00996): the line is fitted on a coarse grid and applied on the fine one.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

GUIDE_HU: Final = (-200.0, 300.0)
"""Differences of HU outside say nothing of organs' edges."""
FLAT_HU: Final = 20.0
"""Deviation of HU in a window below which an edge is noise."""
SUREST: Final = 4.0
"""Logits beyond are as sure as this when the line is fitted."""
MOST: Final = 1.25
"""The most that is added to a logit: less than a click leaves (``click_correction.MARGIN``)."""
FINER: Final = 2
"""The line is fitted on so many pixels per pixel of the mask grid."""


def guided_upsample(logits: Float[Tensor, "m m"], hu: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Enlarge one slice's mask logits to the scan's pixels, led by the scan.

    Args:
        logits: on the mask grid.
        hu: the same part of the slice on the scan's grid.
    """
    side = logits.shape[-1]
    coarse = [min(FINER * side, size) for size in hu.shape]
    guide = hu.clamp(*GUIDE_HU)[None, None]
    low = F.interpolate(guide, size=coarse, mode="area")
    sure = _enlarged(logits.clamp(-SUREST, SUREST)[None, None], coarse)
    radius = max(1, round(min(coarse) / side))
    mean_hu, mean = _mean(low, radius), _mean(sure, radius)
    covariance = _mean(low * sure, radius) - mean_hu * mean
    slope = covariance / (_mean(low * low, radius) - mean_hu**2 + FLAT_HU**2)
    line = torch.cat([_mean(slope, radius), _mean(mean - slope * mean_hu, radius) - _mean(mean, radius)], dim=1)
    slopes, offsets = _enlarged(line, hu.shape).unbind(dim=1)
    found: Tensor = _enlarged(logits[None, None], hu.shape)[0, 0]
    return found + (slopes[0] * guide[0, 0] + offsets[0]).clamp(-MOST, MOST)


def _mean(values: Float[Tensor, "1 1 h w"], radius: int) -> Float[Tensor, "1 1 h w"]:
    """Over a square window, at the border over what is there."""
    return F.avg_pool2d(values, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)


def _enlarged(values: Float[Tensor, "1 k r c"], size: list[int] | torch.Size) -> Float[Tensor, "1 k h w"]:
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False)
