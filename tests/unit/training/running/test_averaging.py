"""The running average of weights: its values; using the average in validation changes no weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medvlsam2.training.running.averaging import WeightAverage


def walk(decay: float, values: list[float]) -> tuple[nn.Parameter, WeightAverage]:
    """Average a weight that starts at 0 and takes these values."""
    weight = nn.Parameter(torch.zeros(3))
    average = WeightAverage([weight], decay)
    for value in values:
        with torch.no_grad():
            weight.fill_(value)
        average.update()
    return weight, average


def seen(weight: nn.Parameter, average: WeightAverage) -> float:
    with average.applied():
        return float(weight.detach()[0])


def test_the_decay_starts_small_and_reaches_its_value() -> None:
    expected = 0.0
    values = [float(value) for value in range(1, 60)]
    for number, value in enumerate(values, start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    weight, average = walk(0.8, values)
    assert seen(weight, average) == pytest.approx(expected, rel=1e-5)
    assert min(0.8, 60 / 69) == 0.8, "long enough to reach the decay itself"


def test_weights_are_back_afterwards_even_after_an_error() -> None:
    weight, average = walk(0.9, [4.0])
    assert seen(weight, average) < 4.0
    with pytest.raises(RuntimeError, match="inside"), average.applied():
        raise RuntimeError("inside")
    assert weight.tolist() == [4.0] * 3
    assert weight.requires_grad


def test_without_a_decay_it_is_the_weights_themselves() -> None:
    weight, average = walk(0.0, [4.0, 5.0])
    assert seen(weight, average) == 5.0
    average.adopt()
    assert float(weight[0]) == 5.0


def test_an_adopted_average_becomes_the_weight_and_the_average() -> None:
    weight, average = walk(0.9, [4.0])
    before = seen(weight, average)
    average.adopt()
    assert float(weight[0]) == before == seen(weight, average)


def test_the_average_resumes_from_its_state() -> None:
    weight, average = walk(0.9, [4.0, 2.0])
    other_weight, other = walk(0.9, [])
    other.load_state_dict(average.state_dict())
    for moved, mean in ((weight, average), (other_weight, other)):
        with torch.no_grad():
            moved.fill_(1.0)
        mean.update()
    assert seen(weight, average) == seen(other_weight, other)
