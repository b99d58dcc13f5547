"""One running request: its leases on the device, its progress, and the seconds that its stages took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.scheduling.claims import Claim

Progress = Callable[[float], None]
SliceShown = Callable[[int, int], None]


class Clock:
    """Seconds spent in each stage of a request."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now

    def total(self) -> dict[str, float]:
        """All stages, and the seconds since the start as ``total``."""
        return {**self.laps, "total": time.perf_counter() - self.start}


@dataclass
class Job:
    """One running request."""

    engine: Engine
    claim: Claim
    progress: Progress
    shown: SliceShown | None
    clock: Clock = field(default_factory=Clock)
    told: float = 0.0

    def tell(self, share: float) -> None:
        """Tell the caller of progress. It never goes back, although an object may be searched for twice."""
        if share > self.told:
            self.told = share
            self.progress(share)

    def for_some(self, numbers: Sequence[int], count: int) -> Job:
        """The same request for some of its objects.

        Args:
            numbers: of these objects in the request.
            count: objects of the whole request.
        """
        shown = self.shown
        return replace(
            self,
            progress=lambda share: self.tell(share * len(numbers) / count),
            shown=None if shown is None else lambda number, at: shown(numbers[number], at),
        )

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Hold the device for one step.

        Raises:
            Superseded: if a later request has replaced this one.
        """
        with self.engine.lease():
            self.claim.check()
            yield
