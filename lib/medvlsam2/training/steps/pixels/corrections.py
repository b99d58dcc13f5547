"""Clicks that correct the model's own answer, as SAM 2 is trained and as annotators work.

Reference: sam2, training/model/sam2.py (``iter_correct_pt_sampling``), which draws any wrong pixel. Here the click is
in the middle of the largest error, where annotators click and where ``evaluation/measures/interactive.py`` clicks.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from medvlsam2.model.pixel_decoder.volume_sam2 import SlicePrompts
from medvlsam2.pixel_grid import rescaled

NEAR_PARTS: Final = (0.03, 0.12)
"""Sides of the two neighbourhoods in which wrong pixels are counted, as parts of the mask's side."""


def with_correction(
    prompts: SlicePrompts, predicted: Bool[Tensor, "p m m"], target: Bool[Tensor, "p m m"], image_size: int
) -> SlicePrompts:
    """Add one click for each object, at the wrong pixel with most pixels around it that are wrong in the same way.

    Where nothing is wrong, the click is a positive one in the middle of the object. The host does not wait for the
    device.

    Args:
        prompts: the prompts so far.
        predicted: the model's masks for these prompts.
        target: true masks, none of them empty.
        image_size: side of SAM 2's input in pixels.
    """
    missed, extra = target & ~predicted, predicted & ~target
    nothing_wrong = ~(missed | extra).flatten(1).any(dim=1)
    missed = missed | (target & nothing_wrong[:, None, None])
    crowd = torch.maximum(_crowd(missed), _crowd(extra))
    side = target.shape[-1]
    place = crowd.flatten(1).argmax(dim=1)  # p
    labels = target.flatten(1).gather(1, place[:, None]).long()  # p 1
    pixels_xy = torch.stack([place % side, place // side], dim=1)[:, None].float()  # p 1 2
    points_xy = rescaled(pixels_xy, image_size / side)
    if prompts.points_xy is None or prompts.point_labels is None:
        return SlicePrompts(points_xy, labels, prompts.mask_logits)
    return SlicePrompts(
        torch.cat([prompts.points_xy, points_xy], dim=1),
        torch.cat([prompts.point_labels, labels], dim=1),
        prompts.mask_logits,
    )


def _crowd(wrong: Bool[Tensor, "p m m"]) -> Float[Tensor, "p m m"]:
    """For each wrong pixel: the share of wrong pixels in both neighbourhoods of it, added; 0 for the other pixels."""
    planes = wrong[:, None].float()
    total = torch.zeros_like(planes)
    for part in NEAR_PARTS:
        reach = max(1, round(part * wrong.shape[-1] / 2))
        total = total + F.avg_pool2d(planes, 2 * reach + 1, stride=1, padding=reach)
    return (total * planes)[:, 0]
