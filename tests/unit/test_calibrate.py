"""Biases fitted after training: the threshold goes where masks and presence are best."""

from __future__ import annotations

import pytest
import torch

from medvlsam2.training.calibrate import best_mask_bias, best_score_bias


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.5])
def test_a_shifted_mask_is_shifted_back(shift: float) -> None:
    truth = torch.zeros(3, 16, 16, dtype=torch.bool)
    truth[:, 4:9, 5:11] = True
    logits = torch.where(truth, 0.4, -0.4) + shift
    assert torch.equal(logits + best_mask_bias(logits, truth) > 0, truth)


@pytest.mark.parametrize("shift", [-2.0, 3.0])
def test_rare_presence_counts_as_much_as_common_absence(shift: float) -> None:
    present = torch.tensor([True] + [False] * 99)
    scores = torch.where(present, 0.5, -0.5) + shift
    assert torch.equal(scores + best_score_bias(scores, present) > 0, present)
