"""Requests that are running: how many there are, and which objects each of them is about.

Of several requests for the same object only the newest continues: an annotator who clicks again does not need the
older answer.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from medvlsam2.errors import Superseded

NAMED: Final = 3
"""At most so many objects are named in a sentence."""


class Requests:
    """Counts running requests, so that background work can wait until there is none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one request for the time of the block."""
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
    """One request's right to its objects, until a newer request claims all of them."""

    def __init__(self, place: Hashable, names: Iterable[str]) -> None:
        self._place = place
        self._names = Counter(names)
        self._lost = threading.Event()

    def check(self) -> None:
        """Go on only while no newer request has come for the same.

        Raises:
            Superseded: if one has.
        """
        if self._lost.is_set():
            what = " and ".join(repr(name) for name in list(self._names)[:NAMED])
            raise Superseded(f"A newer request for {what} has replaced this one. Use the newer answer.")

    def give_up_to(self, newer: Claim) -> None:
        """Lose the claim if a newer one of the same place is for all of the same objects."""
        if self._place == newer._place and self._names <= newer._names:
            self._lost.set()


class Claims:
    """Claims of all running requests."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._active: list[Claim] = []

    @contextmanager
    def claim(self, place: Hashable, names: Iterable[str]) -> Iterator[Claim]:
        """Claim objects for the time of a request.

        Args:
            place: which scan and who asks.
            names: of the objects.
        """
        mine = Claim(place, names)
        with self._guard:
            for older in self._active:
                older.give_up_to(mine)
            self._active.append(mine)
        try:
            yield mine
        finally:
            with self._guard:
                self._active.remove(mine)
