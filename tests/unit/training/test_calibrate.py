"""Calibration after training: thresholds with the best masks and presence; a decoder of noise gets no weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medvlsam2.model import checkpoint
from medvlsam2.training.calibrate import BIASES, WEIGHTS, best_combination, best_score_bias, calibrate
from medvlsam2.training.data.cases import Case


def square() -> torch.Tensor:
    truth = torch.zeros(3, 16, 16, dtype=torch.bool)
    truth[:, 4:9, 5:11] = True
    return truth


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.5])
def test_a_shifted_mask_is_shifted_back(shift: float) -> None:
    truth = square()
    similarity = torch.where(truth, 0.4, -0.4) + shift
    weight, bias = best_combination([*torch.zeros_like(similarity)], [*similarity], [*truth])
    assert weight in WEIGHTS
    assert torch.equal(similarity + bias > 0, truth)


def test_a_decoder_of_noise_counts_for_nothing() -> None:
    truth = square()
    noise = 20 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    assert best_combination([*noise], [*torch.where(truth, 1.0, -1.0)], [*truth])[0] == 0


def test_a_decoder_that_knows_more_counts() -> None:
    truth = square()
    weight, bias = best_combination([*torch.where(truth, 4.0, -4.0)], [*torch.zeros(truth.shape)], [*truth])
    assert weight > 0
    assert torch.equal(weight * torch.where(truth, 4.0, -4.0) + bias > 0, truth)


@pytest.mark.parametrize("shift", [-2.0, 3.0])
def test_rare_presence_counts_as_much_as_common_absence(shift: float) -> None:
    present = torch.tensor([True] + [False] * 99)
    scores = torch.where(present, 0.5, -0.5) + shift
    assert torch.equal(scores + best_score_bias(scores, present) > 0, present)


def test_fitting_twice_gives_the_same_calibration(tiny_model_dir: Path, tiny_case: Case) -> None:
    loaded = checkpoint.load(tiny_model_dir)
    similarity = loaded.model.sam2.text_similarity
    assert similarity is not None
    found = []
    for _ in range(2):
        similarity.score_bias.data.zero_()
        calibrate(loaded.model, loaded.tokenizer, [tiny_case], seed=0)
        fitted = (similarity.decoder_weight, similarity.bias_shift, similarity.score_bias, similarity.evidence_shift)
        found.append(torch.cat(fitted).detach())
    assert torch.equal(*found)
    assert set(similarity.decoder_weight.tolist()) <= set(WEIGHTS)
    assert set(similarity.bias_shift.tolist()) <= set(BIASES)
    similarity.forget_calibration()
    assert similarity.decoder_weight.tolist() == [1.0, 1.0]
    assert similarity.evidence_bias == similarity.score_bias
