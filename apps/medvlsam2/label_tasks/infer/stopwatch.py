"""Seconds per stage of one request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stopwatch:
    """Seconds per stage, by its name."""

    laps_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Time one stage."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self.laps_s[name] = round(time.perf_counter() - start_s, 4)
