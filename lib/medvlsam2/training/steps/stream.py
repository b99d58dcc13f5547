"""The endless stream of a stage's steps, drawn in this process or on workers.

The n-th step of a stage depends on the run's seed, the stage and n alone. So a run draws the same steps with any number
of workers. It also goes on exactly where it stopped, and a checkpoint need not hold the state of a random generator.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from medvlsam2.training.interrupt import SIGNALS
from medvlsam2.training.steps.base import Source, Step
from medvlsam2.training.steps.mix import STEPS

MAX_WORKERS: Final = 8
PREFETCHED_STEPS: Final = 4
"""Steps that each worker has ready: enough that the device does not wait for a step that takes long to draw."""


@dataclass(frozen=True)
class Drawn:
    """One step, ready to be run."""

    kind: str
    step: Step

    def pin_memory(self) -> Drawn:
        """Called by the data loader."""
        return Drawn(self.kind, self.step.pin_memory())


class StepStream(IterableDataset[Drawn]):
    """The steps of a stage from a given one on, without an end.

    Args:
        source: what the steps are drawn from.
        shares: share of each kind of step.
        stage_index: place of the stage in the run.
        first: number of the first step, counted from the stage's beginning.
        rank: number of this process among those that train together. Each process draws other samples; the kind of a
            step is the same in all of them.
    """

    def __init__(
        self, source: Source, shares: dict[str, float], stage_index: int, first: int, *, rank: int = 0
    ) -> None:
        self._source = source
        self._shares = {kind: share for kind, share in shares.items() if share > 0}
        self._stage_index = stage_index
        self._first = first
        self._rank = rank

    def __iter__(self) -> Iterator[Drawn]:
        """Every step; on one of n workers, every n-th step."""
        worker = get_worker_info()
        number = self._first + (0 if worker is None else worker.id)
        while True:
            yield self.draw(number)
            number += 1 if worker is None else worker.num_workers

    def draw(self, number: int) -> Drawn:
        """The step of a number."""
        rng = step_rng(self._source.config.seed, self._stage_index, number)
        kind = str(rng.choice(list(self._shares), p=list(self._shares.values())))
        if self._rank:
            rng = step_rng(self._source.config.seed, self._stage_index, number, rank=self._rank)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            return Drawn(kind, STEPS[kind].draw(self._source, rng))

    def loader(self, *, num_workers: int, pinned: bool) -> DataLoader[Drawn]:
        """Steps in order, drawn by workers where there are any."""
        return DataLoader(
            self,
            batch_size=None,
            num_workers=num_workers,
            pin_memory=pinned,
            prefetch_factor=PREFETCHED_STEPS if num_workers else None,
            worker_init_fn=_start_worker if num_workers else None,
        )


def step_rng(seed: int, stage_index: int, number: int, *, purpose: int = 0, rank: int = 0) -> np.random.Generator:
    """The generator of one step of one process; purpose 0 draws its samples, 1 its prompts and dropout."""
    return np.random.default_rng([seed, stage_index, number, purpose, *((rank,) if rank else ())])


def default_num_workers(device: torch.device, processes: int = 1) -> int:
    """How many workers draw steps: beside a GPU one for each spare core, 8 at most; none on a CPU.

    On a CPU the steps themselves keep the cores busy.

    Args:
        device: where steps are run.
        processes: how many training processes share this machine's cores.
    """
    if device.type == "cpu":
        return 0
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) // processes - 1))


def _start_worker(_: int) -> None:
    """Let a worker ignore Ctrl-C and torchrun's SIGTERM, which reach the whole group of processes.

    The main process first stores its checkpoint and then ends its workers. Workers whose main process is gone end by
    themselves.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
