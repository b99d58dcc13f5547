"""Steps drawn one after the other, in this process or on workers.

The n-th step of a stage is a function of the run's seed, the stage and n alone. So a run draws the same steps whatever
the number of workers is, and goes on exactly where it stopped, with no generator's state to be stored.
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
from medvlsam2.training.steps.base import Kind, Source
from medvlsam2.training.steps.mix import KINDS

MAX_WORKERS: Final = 8
PREFETCHED_STEPS: Final = 4
"""Steps that each worker has ready."""


@dataclass(frozen=True)
class Drawn:
    """One step, ready to be taken."""

    kind: str
    work: Kind

    def pin_memory(self) -> Drawn:
        """Called by the data loader."""
        return Drawn(self.kind, self.work.pin_memory())


class Steps(IterableDataset[Drawn]):
    """The steps of a stage from the first one on, without an end.

    Args:
        source: what they are drawn from.
        shares: share of each kind of step.
        stage_index: place of the stage in the run.
        first: number of the first step, counted from the stage's beginning.
        rank: number of this process among those that train together: each draws other samples of the same kind.
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
        """Every step, or on workers every so many-th."""
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
            return Drawn(kind, KINDS[kind].draw(self._source, rng))

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
    """None beside a CPU, which computes meanwhile; beside a GPU as many as there are cores to spare, up to 8.

    Args:
        device: where steps are taken.
        processes: how many share this machine's cores.
    """
    if device.type == "cpu":
        return 0
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) // processes - 1))


def _start_worker(_: int) -> None:
    """Ctrl-C, and torchrun's SIGTERM, reach the whole group of processes; the run stores its checkpoint first.

    It then ends its workers, and they end of themselves where it is no more.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
