"""A running average of the weights that a stage trains: what is validated and saved.

The arithmetic is PyTorch's (``torch.optim.swa_utils``). Its ``AveragedModel`` is not used: it copies the whole model,
the frozen part included, and has one decay for all steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Exponential moving average of parameters.

    After n steps the decay is at most (1 + n) / (10 + n), so that the average of a short stage forgets the weights that
    the stage began with.

    Args:
        parameters: what is averaged.
        decay: the highest decay; 0 follows the weights themselves.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self._averages = [parameter.detach().clone() for parameter in self._parameters] if decay else []
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        if self._averages:
            decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
            blend = get_ema_multi_avg_fn(decay)
            blend(self._averages, [parameter.detach() for parameter in self._parameters], self._steps)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the model has the average as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def adopt(self) -> None:
        """Make the average the model's weights for good."""
        self._swap()
        self._averages = [parameter.detach().clone() for parameter in self._parameters] if self._averages else []

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"steps": self._steps, "averages": self._averages}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """From a checkpoint of the same parameters."""
        steps, averages = state["steps"], state["averages"]
        assert isinstance(steps, int)
        assert isinstance(averages, list)
        self._steps = steps
        for own, stored in zip(self._averages, averages, strict=True):
            own.copy_(stored)

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self._averages, strict=bool(self._averages)):
            kept: Tensor = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
