"""SAM 2's sine position code, one for all images of a batch.

``sam2`` writes a copy of the code for every image and every level of the pyramid, which took a fifth of a training
step on a CPU; the values are the same.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import Tensor


class SharedPositionEmbedding(PositionEmbeddingSine):
    """The position code of the first image, expanded to all images without a copy."""

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "n _ h w"]) -> Float[Tensor, "n c h w"]:
        """Position code of every image.

        Args:
            x: images, of which only the size, the device and the number format count.
        """
        code: Tensor = super().forward(x[:1])
        return code.to(x.dtype).expand(len(x), -1, -1, -1)
