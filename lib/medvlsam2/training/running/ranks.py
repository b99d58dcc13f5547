"""Processes that train one model together, as ``torchrun`` starts them.

At each step all processes draw the same kind of step with samples of their own, and then use the mean of all their
gradients. Several processes may share one GPU: where the host starts kernels slower than the GPU computes them, this is
several times as fast.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
from torch import distributed, nn

PATIENCE: Final = timedelta(hours=4)
"""How long processes wait for one another. They wait while the first one prepares scans or validates, which takes up to
hours."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    number: int = 0
    size: int = 1
    local_size: int = 1
    """How many of them run on this machine."""
    local_number: int = 0
    """Number of this process among those on this machine."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes, validates and says when the others stop."""
        return self.number == 0

    @property
    def has_own_gpu(self) -> bool:
        """Whether each process of this machine has a GPU of its own."""
        return torch.cuda.device_count() >= self.local_size

    def device(self) -> torch.device:
        """A GPU where there is one, shared where there are more processes than GPUs; else the CPU."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_number % torch.cuda.device_count())

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            distributed.all_reduce(torch.zeros(1))

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first goes through before the others begin."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def first(self, value: float) -> float:
        """The value that the first process gave, in all processes."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)

    def mean_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the mean of all gradients; one that lacks a gradient that another has counts as zero."""
        if self.size == 1:
            return
        given = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        distributed.all_reduce(given)
        shared = [parameter for parameter, count in zip(parameters, given.tolist(), strict=True) if count]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in shared]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        mean = flat if self.has_own_gpu else flat.cpu()
        distributed.all_reduce(mean)
        parts = torch.split(mean.to(flat.device).div_(self.size), [one.numel() for one in shared])
        for parameter, gradient, part in zip(shared, gradients, parts, strict=True):
            # In the gradient's own layout, which the fused optimiser wants.
            parameter.grad = gradient.copy_(part.view_as(gradient))


ALONE: Final = Ranks()
"""One process."""


def ranks_here() -> Ranks:
    """What ``torchrun`` tells this process; alone where it was not started by that."""
    return Ranks(*(int(os.environ.get(name, value)) for name, value in _DEFAULTS.items()))


_DEFAULTS: Final = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}
"""In the order of the fields of ``Ranks``."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that train together, connected."""
    ranks = ranks_here()
    if ranks.size == 1:
        yield ranks
        return
    # NCCL refuses two processes on one GPU.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if ranks.has_own_gpu else "gloo", timeout=PATIENCE)
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()
