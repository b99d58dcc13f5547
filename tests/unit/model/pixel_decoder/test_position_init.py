"""A fresh mask decoder of a model that learns from scratch: prompts attend to their own place."""

from __future__ import annotations

import pytest
import torch
from sam2.modeling.sam.transformer import Attention

from medvlsam2.model import builders
from medvlsam2.model.pixel_decoder.build import build_sam2


@pytest.mark.parametrize("place_yx", [(2, 3), (12, 20), (22, 7)])
def test_a_click_attends_to_the_pixels_at_its_own_place(place_yx: tuple[int, int]) -> None:
    torch.manual_seed(0)
    sam2 = build_sam2(builders.NANO.sam2)
    code = sam2.sam_prompt_encoder.get_dense_pe()[0].flatten(1).T
    attention = sam2.sam_mask_decoder.transformer.layers[0].cross_attn_token_to_image
    assert isinstance(attention, Attention)
    side = sam2.sam_image_embedding_size
    row, column = place_yx
    with torch.no_grad():
        query = attention.q_proj(code[row * side + column])
        keys = attention.k_proj(code)
    width = attention.internal_dim // attention.num_heads
    scores = (query * keys).unflatten(-1, (attention.num_heads, width)).sum(dim=-1) / width**0.5
    best = int(scores.softmax(dim=0).mean(dim=1).argmax())
    assert abs(best // side - row) <= 1
    assert abs(best % side - column) <= 1
