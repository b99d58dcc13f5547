"""Runs work in threads beside the event loop, and stops it when its client leaves or cancels."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import anyio
from fastapi import HTTPException, Request

from medvlsam2.errors import Cancelled
from medvlsam2.tasks.scheduling.stopping import stoppable

logger = logging.getLogger(__name__)

T = TypeVar("T")

MODEL_QUEUE: Final = anyio.CapacityLimiter(8)
"""So many requests share the model step by step; further requests wait in order."""


async def beside(work: Callable[..., T], *arguments: Any, limiter: anyio.CapacityLimiter | None = None) -> T:
    """Run work in a thread."""
    return await anyio.to_thread.run_sync(work, *arguments, limiter=limiter)


@dataclass
class Running:
    """Running requests, by their owner, so that they can be cancelled."""

    _guard: threading.Lock = field(default_factory=threading.Lock)
    _stops: dict[str, dict[threading.Event, tuple[str, str]]] = field(default_factory=lambda: defaultdict(dict))

    @contextmanager
    def one(self, owner: str, model: str, image: str) -> Iterator[threading.Event]:
        """Note a request for the time of the block; the event is set when it is cancelled."""
        stop = threading.Event()
        with self._guard:
            self._stops[owner][stop] = (model, image)
        try:
            yield stop
        finally:
            with self._guard:
                self._stops[owner].pop(stop, None)
                if not self._stops[owner]:
                    del self._stops[owner]

    def cancel(self, owner: str, model: str | None, image: str | None) -> int:
        """Cancel a client's own requests, of one model or image where these are given; returns how many."""
        with self._guard:
            chosen = [
                stop
                for stop, (asked, about) in self._stops.get(owner, {}).items()
                if model in (None, asked) and image in (None, about)
            ]
        for stop in chosen:
            stop.set()
        return len(chosen)


async def while_connected(request: Request, stop: threading.Event, work: Callable[[], T]) -> T:
    """Run work that needs the model in a thread; tell it to stop as soon as the client has left.

    Args:
        request: whose body has been read.
        stop: set when the work is to stop.
        work: stops at its next step.
    """
    watching = asyncio.create_task(_watch(request, stop))
    try:
        with stoppable(stop):
            return await beside(work, limiter=MODEL_QUEUE)
    except (Cancelled, HTTPException):
        if stop.is_set():
            logger.info("A request was stopped before its end")
        raise
    finally:
        watching.cancel()


async def _watch(request: Request, stop: threading.Event) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            stop.set()
            return
