"""A token like [SEG] for an object that was clicked or boxed without words, made of the features under the prompt.

Words give an object a token that is compared with every pixel of every slice. A click gives SAM 2 only a position on
one slice; a model that learns from scratch cannot find the object on other slices from that. So the features under the
prompt, and those of everything else, are projected to such a token, and a click works as a name does. This is the
prototype of PerSAM (arXiv:2305.03048) with a learnt projection.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SHARPNESS: Final = 3.0
"""A pixel's weight is e^(sharpness · drawn logit): equal all over a box, and high within some pixels of a click."""


class VisualToken(nn.Module):
    """Pools features of three resolutions inside and outside of drawn prompts.

    Args:
        dim: width of the image embedding and of prompt tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        channels = dim + dim // 4 + dim // 8
        self.projection = nn.Sequential(nn.Linear(2 * channels, dim), nn.GELU(), nn.Linear(dim, dim))
        for layer in self.projection:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(
        self, levels: tuple[Float[Tensor, "b _ _ _"], ...], drawn: Float[Tensor, "b 1 m m"]
    ) -> Float[Tensor, "b c"]:
        """One token per object.

        Args:
            levels: features of each object's slice, at any resolutions.
            drawn: its prompts as mask logits (see :func:`medvlsam2.model.pixel_decoder.drawn_prompts.draw_prompts`).
        """
        pooled = [_pool(level, sign * drawn) for sign in (1.0, -1.0) for level in levels]
        token: Tensor = self.projection(torch.cat(pooled, dim=1))
        return token


def _pool(level: Float[Tensor, "b n h w"], drawn: Float[Tensor, "b 1 m m"]) -> Float[Tensor, "b n"]:
    fine = (SHARPNESS * drawn.float()).flatten(1).softmax(dim=1).reshape(drawn.shape)
    weights = F.adaptive_avg_pool2d(fine, (level.shape[-2], level.shape[-1]))
    weights = weights / weights.sum(dim=(2, 3), keepdim=True)
    return (level * weights.to(level.dtype)).sum(dim=(2, 3))
