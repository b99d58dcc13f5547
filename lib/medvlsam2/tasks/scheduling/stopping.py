"""Stops work that no client waits for any more, at its next step.

The caller that starts the work enters :func:`stoppable`; every lease on the device calls :func:`check`. The event lies
in a context variable, so the functions in between need no argument for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from medvlsam2.errors import Cancelled

_STOP: Final[ContextVar[threading.Event | None]] = ContextVar("medvlsam2_stop", default=None)


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Let the work of this context, and of threads that take it over, stop once the event is set."""
    token = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(token)


def check() -> None:
    """Go on only while the work is wanted.

    Raises:
        Cancelled: if its event is set.
    """
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise Cancelled("The request was cancelled, or its client has left. Ask again if the answer is still wanted.")
