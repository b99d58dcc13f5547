"""Losses, speed, and how busy the device was, between two lines of a run's log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medvlsam2.training.steps.base import StepResult


@dataclass(frozen=True)
class Speed:
    """How fast the steps went."""

    steps_per_s: float
    samples_per_s: float
    busy_share: float
    """Share of the time in which the device worked on steps."""


class Meter:
    """Means since the last reading.

    Until the next reading all values stay on the device, so that the host need not wait for it.

    Args:
        device: where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self._watch = DeviceTimer(device)
        self._restart()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time one step, without the wait for its samples."""
        with self._watch.running():
            yield

    def add(self, kind: str, result: StepResult, norm: Tensor, num_samples: int) -> None:
        """Take in a step."""
        terms = {"loss": result.loss.detach(), f"{kind}/loss": result.loss.detach(), "grad_norm": norm.detach()}
        terms |= {f"{kind}/{name}": value for name, value in result.parts.items()}
        for name, value in terms.items():
            self._terms.setdefault(name, []).append(value)
        self._steps += 1
        self._samples += num_samples

    def read(self) -> tuple[dict[str, float], Speed]:
        """Mean of each term of the loss, and the speed; then start anew."""
        means = torch.stack([torch.stack(values).float().mean() for values in self._terms.values()]).tolist()
        losses = dict(zip(self._terms, means, strict=True))
        wall_s = time.perf_counter() - self._since
        speed = Speed(self._steps / wall_s, self._samples / wall_s, min(1.0, self._watch.read_s() / wall_s))
        self._restart()
        return losses, speed

    def _restart(self) -> None:
        self._terms: dict[str, list[Tensor]] = {}
        self._steps = self._samples = 0
        self._since = time.perf_counter()


class DeviceTimer:
    """Seconds that the device spends on what runs under it; on a GPU by its own clock, so that the host need not wait.

    Args:
        device: the device.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._seconds = 0.0
        self._events: list[tuple[Any, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time a piece of work."""
        if self._on_gpu:
            start, end = torch.Event("cuda", enable_timing=True), torch.Event("cuda", enable_timing=True)
            start.record()
            yield
            end.record()
            self._events.append((start, end))
            return
        started = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - started

    def read_s(self) -> float:
        """Seconds since the last reading; the host waits for the device."""
        for start, end in self._events:
            end.synchronize()
            self._seconds += start.elapsed_time(end) / 1000
        seconds, self._seconds, self._events = self._seconds, 0.0, []
        return seconds
