"""Who uses the device next: requests lease it in the order in which they asked.

A lease lasts for one decoding step or one batch of slices, so no request waits for another request's whole volume.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medvlsam2.tasks.scheduling import stopping

GiveWay = Callable[[], None]
"""Called in the middle of a long lease: those who wait go first (:meth:`DeviceLock.give_way`)."""


def stay() -> None:
    """A ``GiveWay`` for work that shares its device with nobody: does nothing."""


class DeviceLock:
    """A lock that is handed over first come, first served; not reentrant."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Wait for those who asked before, then hold the device for the time of the block.

        Raises:
            Cancelled: if the work is no longer wanted (:mod:`medvlsam2.tasks.scheduling.stopping`).
        """
        stopping.check()
        self._acquire()
        try:
            stopping.check()
            yield
        finally:
            self._release()

    def give_way(self) -> None:
        """In the middle of a long lease: let those who wait go first.

        Raises:
            Cancelled: if the work is no longer wanted.
        """
        stopping.check()
        if self._waiting:
            self._release()
            self._acquire()

    def _acquire(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
