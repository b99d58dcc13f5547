"""Options of a pixel decoder that learns from scratch: features of one scale, prompts drawn as a mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medvlsam2.model import builders
from medvlsam2.model.pixel_decoder import volume_sam2
from medvlsam2.model.pixel_decoder.build import build_sam2
from medvlsam2.model.pixel_decoder.drawn_prompts import draw_prompts
from medvlsam2.model.pixel_decoder.volume_sam2 import SlicePrompts, VolumeSAM2

CLICK = SlicePrompts(points_xy=torch.tensor([[[20.0, 40.0]]]), point_labels=torch.tensor([[1]]))


def tiny(**changes: bool) -> VolumeSAM2:
    torch.manual_seed(0)
    return build_sam2(replace(builders.TINY_RANDOM.sam2, **changes)).eval()


def masks_of(sam2: VolumeSAM2, prompts: SlicePrompts) -> torch.Tensor:
    features = sam2.encode_slices(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    return sam2.predict(sam2.without_memory(features), features, prompts, None, multimask=False).mask_logits


@torch.no_grad()
def test_features_have_one_scale() -> None:
    sam2 = tiny()
    features = sam2.encode_slices(100 * torch.randn(2, 3, 64, 64))
    for level in (features.embedding, features.high_res_0, features.high_res_1):
        torch.testing.assert_close(level.mean(dim=1), torch.zeros_like(level[:, 0]), atol=1e-4, rtol=0)
        assert level.std(dim=1, unbiased=False).median() == pytest.approx(1, abs=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("standardised", [True, False])
def test_larger_trunk_features_do_not_hide_the_decoder(standardised: bool) -> None:
    sam2 = tiny(standardised_features=standardised)
    before = masks_of(sam2, CLICK)
    for conv in (sam2.sam_mask_decoder.conv_s0, sam2.sam_mask_decoder.conv_s1):
        conv.weight.mul_(50)
        conv.bias.mul_(50)
    change = (masks_of(sam2, CLICK) - before).abs().max()
    assert bool(change < 0.5 * before.std()) == standardised


@torch.no_grad()
def test_a_click_is_drawn_unless_a_mask_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    sam2 = tiny()
    drawn = draw_prompts(torch.tensor([[[20.0, 40.0]]]), torch.tensor([[1]]), image_size=64, mask_size=sam2.mask_size)
    with_click = masks_of(sam2, CLICK)
    torch.testing.assert_close(masks_of(sam2, replace(CLICK, mask_logits=drawn)), with_click)
    assert not torch.allclose(masks_of(sam2, replace(CLICK, mask_logits=-drawn)), with_click)
    assert not torch.allclose(masks_of(tiny(drawn_prompts=False), CLICK), with_click)
    monkeypatch.setattr(volume_sam2, "draw_prompts", lambda *_, **__: pytest.fail("drawn without a click"))
    masks_of(sam2, SlicePrompts())
    masks_of(sam2, replace(CLICK, mask_logits=drawn))
