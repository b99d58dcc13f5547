"""The shared position code has the values of SAM 2's and holds them once."""

from __future__ import annotations

import pytest
import torch
from sam2.modeling.position_encoding import PositionEmbeddingSine

from medvlsam2.model.pixel_decoder.shared_position import SharedPositionEmbedding


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_shared_position_code_equals_sam2(dtype: torch.dtype) -> None:
    images = torch.zeros(3, 5, 4, 6, dtype=dtype)
    shared = SharedPositionEmbedding(8, normalize=True)(images)
    assert torch.equal(shared, PositionEmbeddingSine(8, normalize=True)(images).to(dtype))
    assert shared.dtype == dtype
    assert shared.untyped_storage().nbytes() == shared[0].numel() * shared.element_size()
