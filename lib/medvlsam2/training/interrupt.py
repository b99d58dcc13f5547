"""SIGTERM and Ctrl-C (SIGINT) end a run between two steps, after its checkpoint was written."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """A run got a signal, wrote its checkpoint and ended. It is no error: the same command goes on from there."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.number = number
        """Number of the signal."""


class StopSignals:
    """Within its block, the first SIGTERM or SIGINT is noted and does not end the process; a second one ends it.

    Python delivers signals to the main thread only; in another thread the block changes nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came, if any."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
