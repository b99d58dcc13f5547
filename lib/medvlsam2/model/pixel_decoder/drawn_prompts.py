"""Clicks and boxes drawn as a mask prompt, for models that learn from scratch.

SAM 2's decoder gets the position of a click as a position code alone, whose meaning SAM 2 learnt from millions of
clicks. A model that sees some ten thousand clicks learns faster from a picture: a box as a filled rectangle and a click
as a soft disc, in SAM 2's own mask prompt (one channel of logits, sam2: modeling/sam/prompt_encoder.py).
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medvlsam2.pixel_grid import rescaled

BOX_INSIDE_LOGIT: Final = 2.0
"""A box makes the object likely (0.88), not certain: the object does not fill its box."""
BOX_OUTSIDE_LOGIT: Final = -2.0
CLICK_LOGIT: Final = 4.0
"""A click is nearly certain (0.98), and outweighs the box round it."""
CLICK_SIGMA: Final = 1 / 24
"""Width of a click's disc as a part of the input's side."""


def draw_prompts(
    points_xy: Float[Tensor, "b p 2"], point_labels: Int[Tensor, "b p"], *, image_size: int, mask_size: int
) -> Float[Tensor, "b 1 m m"]:
    """Mask logits that show where the prompts are.

    Args:
        points_xy: clicks and box corners in pixels of SAM 2's input; the corners of a box come first.
        point_labels: 1 positive, 0 negative, 2 and 3 upper left and lower right corner, -1 padding.
        image_size: side of SAM 2's input in pixels.
        mask_size: side of the mask prompt in pixels.
    """
    points_xy = points_xy.float()
    centres = rescaled(torch.arange(mask_size, device=points_xy.device), image_size / mask_size)
    x, y = centres[None, None, None, :], centres[None, None, :, None]
    points_x, points_y = points_xy[..., 0, None, None], points_xy[..., 1, None, None]
    distance = (x - points_x) ** 2 + (y - points_y) ** 2
    discs = torch.exp(-distance / (2 * (CLICK_SIGMA * image_size) ** 2))
    sign = (point_labels == 1).float() - (point_labels == 0).float()
    drawn = CLICK_LOGIT * (discs * sign[..., None, None]).sum(dim=1, keepdim=True)
    if point_labels.shape[1] < 2:
        return drawn
    within = (x >= points_x[:, :1]) & (y >= points_y[:, :1]) & (x <= points_x[:, 1:2]) & (y <= points_y[:, 1:2])
    filled = torch.where(within, BOX_INSIDE_LOGIT, BOX_OUTSIDE_LOGIT)
    has_box = (point_labels[:, 0] == 2)[:, None, None, None]
    return drawn + filled * has_box
