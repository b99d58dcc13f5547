"""Guided masks: their edges follow the scan, and nothing else of the masks changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medvlsam2.tasks.masks.click_correction import MARGIN
from medvlsam2.transforms.guided import MOST, guided_upsample

SIDE, SIZE = 12, 96
CENTRE, RADIUS = (50.0, 44.0), 22.0


def disc(size: int, centre: tuple[float, float], radius: float) -> torch.Tensor:
    line = (torch.arange(size) + 0.5) * SIZE / size
    return ((line[:, None] - centre[0]) ** 2 + (line - centre[1]) ** 2).sqrt() < radius


def coarse_logits(centre: tuple[float, float] = CENTRE, radius: float = RADIUS) -> torch.Tensor:
    """Logits like a model's: a soft disc on the mask grid."""
    share = F.adaptive_avg_pool2d(disc(SIZE, centre, radius).float()[None, None], SIDE)[0, 0]
    return 6 * share - 3


def plain(logits: torch.Tensor) -> torch.Tensor:
    return F.interpolate(logits[None, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0]


def organ(inside_hu: float, outside_hu: float, noise_hu: float = 0.0) -> torch.Tensor:
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (SIZE, SIZE))).float()
    return torch.where(disc(SIZE, CENTRE, RADIUS), inside_hu, outside_hu) + noise_hu * noise


def dice(found: torch.Tensor) -> float:
    truth = disc(SIZE, CENTRE, RADIUS)
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@pytest.mark.parametrize(("inside_hu", "outside_hu"), [(110.0, 0.0), (-100.0, 40.0), (30.0, -900.0)])
def test_an_edge_that_can_be_seen_is_followed(inside_hu: float, outside_hu: float) -> None:
    """The object is darker or brighter than its surroundings; the mask is shifted by two thirds of a mask pixel."""
    logits = coarse_logits((CENTRE[0] + 4.0, CENTRE[1] - 3.0))
    before = dice(plain(logits) > 0)
    after = dice(guided_upsample(logits, organ(inside_hu, outside_hu, noise_hu=10.0)) > 0)
    assert after > before + 0.03


def test_without_an_edge_the_mask_stays() -> None:
    logits = coarse_logits()
    torch.testing.assert_close(guided_upsample(logits, torch.full((SIZE, SIZE), 40.0)), plain(logits))


def test_noise_is_no_edge() -> None:
    logits = coarse_logits()
    noisy = guided_upsample(logits, organ(40.0, 40.0, noise_hu=15.0)) > 0
    assert dice(noisy) > dice(plain(logits) > 0) - 0.01


def test_the_correction_is_limited_to_the_weight_of_a_click() -> None:
    logits = coarse_logits((CENTRE[0] + 8.0, CENTRE[1]))
    added = guided_upsample(logits, organ(300.0, -200.0)) - plain(logits)
    assert added.abs().max() == pytest.approx(MOST)
    assert MOST < MARGIN


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (9, 40), (96, 96)])
def test_parts_of_any_size(shape: tuple[int, int]) -> None:
    hu = torch.linspace(-1000, 1000, shape[0] * shape[1]).reshape(shape)
    found = guided_upsample(coarse_logits(), hu)
    assert found.shape == shape
    assert found.isfinite().all()


def test_mirrored_scans_have_mirrored_masks() -> None:
    logits, hu = coarse_logits(), organ(110.0, 0.0, noise_hu=20.0)
    for axis in (0, 1):
        turned = guided_upsample(logits.flip(axis), hu.flip(axis))
        torch.testing.assert_close(turned.flip(axis), guided_upsample(logits, hu), atol=1e-4, rtol=1e-4)
