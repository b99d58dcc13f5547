"""Who uses the device next: requests take turns in the order in which they asked, and old ones make way.

A turn is one decoding step or one batch of slices, so nobody waits for another's whole volume. Of several requests
for the same object only the newest goes on: an annotator who clicks again has no use for the older answer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from medvlsam2.errors import Superseded


class Turns:
    """A lock that is handed over first come, first served; not reentrant."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the others that asked before, then have the device."""
        self._acquire()
        try:
            yield
        finally:
            self._release()

    def give_way(self) -> None:
        """In the middle of a long turn: let those who wait go first."""
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


class Requests:
    """How many requests are on their way, so that other work can wait until there is none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be on its way."""
        with self._changed:
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait_for_none(self) -> None:
        """Wait until all are answered."""
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0)


class Claim:
    """One request's right to an object, until a newer request claims it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lost = threading.Event()

    def check(self) -> None:
        """Go on only while this is the newest request.

        Raises:
            Superseded: if a newer request for the object has come.
        """
        if self._lost.is_set():
            raise Superseded(f"A newer request for {self._what} has replaced this one. Use the newer answer.")

    def lose(self) -> None:
        """Tell this request that a newer one has come."""
        self._lost.set()


class Claims:
    """The newest request for each object."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._newest: dict[Hashable, Claim] = {}

    @contextmanager
    def claim(self, key: Hashable, what: str) -> Iterator[Claim]:
        """Claim an object for the time of a request.

        Args:
            key: the object, e.g. scan, annotator and segment.
            what: how a sentence calls it.
        """
        mine = Claim(what)
        with self._guard:
            if (older := self._newest.get(key)) is not None:
                older.lose()
            self._newest[key] = mine
        try:
            yield mine
        finally:
            with self._guard:
                if self._newest.get(key) is mine:
                    del self._newest[key]
