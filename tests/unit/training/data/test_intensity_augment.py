"""Augmentation of cached slices: HU change within bounds, voxels keep their places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from medvlsam2.training.data.intensity_augment import MAX_NOISE_HU, augment


def slices() -> torch.Tensor:
    """A bright square in fat, off the centre; the same on all slices and channels."""
    hu = torch.full((2, 3, 48, 48), -100.0)
    hu[..., 6:20, 28:44] = 120.0
    return hu


@pytest.fixture(scope="module")
def drawn() -> list[torch.Tensor]:
    return [augment(slices(), default_rng(seed)) for seed in range(40)]


def test_one_seed_gives_one_augmentation(drawn: list[torch.Tensor]) -> None:
    assert torch.equal(augment(slices(), default_rng(3)), drawn[3])
    assert not torch.equal(drawn[3], drawn[4])


def test_the_input_is_left_as_it_is_and_the_output_is_a_plain_tensor() -> None:
    hu = slices()
    new = augment(hu, default_rng(0))
    assert torch.equal(hu, slices())
    assert type(new) is torch.Tensor
    assert new.dtype == torch.float32
    assert new.shape == hu.shape


def test_augmentation_moves_and_mirrors_no_voxel(drawn: list[torch.Tensor]) -> None:
    for new in drawn:
        smooth = torch.nn.functional.avg_pool2d(new, 3, stride=1, padding=1, count_include_pad=False)
        bright = smooth > (smooth[..., 8:18, 30:42].mean() + smooth[..., 30:, :].mean()) / 2
        for found in bright.flatten(0, 1):
            centre = torch.nonzero(found).float().mean(dim=0)
            assert centre.tolist() == pytest.approx([12.5, 35.5], abs=0.5)


def test_hu_change_within_bounds(drawn: list[torch.Tensor]) -> None:
    means = np.array([float(new[..., 10:16, 32:40].mean()) for new in drawn])
    assert 60 < means.min() < 115
    assert 125 < means.max() < 180
    fat = np.array([float(new[..., 30:, :].mean()) for new in drawn])
    assert -150 < fat.min() < fat.max() < -50
    noise = np.array([float(new[..., 30:, :].std()) for new in drawn])
    assert 6 < noise.max() < 3 * MAX_NOISE_HU


def test_all_slices_of_a_scan_change_alike(drawn: list[torch.Tensor]) -> None:
    for new in drawn:
        flat = new.flatten(0, 1)[:, 10:16, 32:40].flatten(1).mean(dim=1)
        assert float(flat.max() - flat.min()) < MAX_NOISE_HU
