"""Initialise a mask decoder so that prompts attend to the pixels at their own position.

Prompt tokens and pixels carry the same position code. With equal query and key weights, a token attends to the pixels
at its own position from the first step on; random weights learn this only after thousands of clicks. The idea is
mimetic initialisation (arXiv:2305.09828). Where SAM 2's weights are loaded, they replace this initialisation.
"""

from __future__ import annotations

from typing import Final

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import Attention
from torch import nn

_GAIN: Final = 2.0
"""Scale of the shared weights: with 2 the pixel under a click gets some twenty times the attention of a far pixel."""
_CROSS_ATTENTION: Final = ("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn_token_to_image")


@torch.no_grad()
def attend_to_own_place(decoder: MaskDecoder) -> None:
    """Give every attention between prompt tokens and pixels equal query and key weights."""
    for name, module in decoder.named_modules():
        if isinstance(module, Attention) and name.endswith(_CROSS_ATTENTION):
            nn.init.orthogonal_(module.q_proj.weight, gain=_GAIN)
            module.k_proj.weight.copy_(module.q_proj.weight)
            nn.init.zeros_(module.q_proj.bias)
            nn.init.zeros_(module.k_proj.bias)
