"""The studies of the datastore and how far each is, for the start page.

A PACS may be slow or away: the list is made beside the event loop, one at a time, and a page waits only a moment
for it. Until it comes, the page shows the list before it, or says that there is none yet.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import anyio
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

logger = logging.getLogger(__name__)

State = Literal["unlabelled", "model result", "final"]
STATES: Final[tuple[State, ...]] = ("unlabelled", "model result", "final")

WAIT_S: Final = 3.0
"""Longest time that a page waits for the list; a PACS at hand answers in less than a second."""

_FINAL: Final = DefaultLabelTag.FINAL.value
_WHO: Final = ("annotator", "user", "client_id")
"""Fields of a label's information that may name who submitted it; the first that is there counts."""
_WHO_LENGTH: Final = 40


@dataclass(frozen=True)
class Study:
    """One scan and how far it is."""

    image_id: str
    state: State
    by: str = ""
    """Who submitted the label, or which model made it; empty where that is not known."""
    when: str = ""
    """Local date and time of the label; empty where that is not known."""


@dataclass(frozen=True)
class Listing:
    """The studies, as far as they are known."""

    studies: tuple[Study, ...] = ()
    problem: str = ""
    """A sentence if the list is missing or old."""


class Studies:
    """The last list of the studies, made anew for each page as long as that is quick.

    Args:
        make: lists the studies; it is run in a thread, never twice at once.
        wait_s: longest time that :meth:`listing` waits for it.
    """

    def __init__(self, make: Callable[[], tuple[Study, ...]], wait_s: float = WAIT_S) -> None:
        self._make = make
        self._wait_s = wait_s
        self._thread = anyio.CapacityLimiter(1)
        self._running: asyncio.Task[tuple[Study, ...]] | None = None
        self._asked_s = 0.0
        self._last: tuple[Study, ...] | None = None

    async def listing(self) -> Listing:
        """The studies now, or those of the last time with a sentence why."""
        if self._running is None:
            self._asked_s = time.monotonic()
            self._running = asyncio.create_task(anyio.to_thread.run_sync(self._make, limiter=self._thread))
        task = self._running
        await asyncio.wait({task}, timeout=self._wait_s)
        if not task.done():
            return self._known(f"has not answered for {time.monotonic() - self._asked_s:.0f} s")
        if self._running is task:
            self._running = None
        if task.cancelled() or task.exception() is not None:
            logger.warning("The studies cannot be listed", exc_info=None if task.cancelled() else task.exception())
            return self._known("cannot be read now; the server's log says why")
        self._last = task.result()
        return Listing(self._last)

    def _known(self, what: str) -> Listing:
        shown = "The list below is the last one known." if self._last else "So no study is listed."
        return Listing(self._last or (), f"The source of the studies {what}. {shown}")


def studies_of(datastore: Datastore) -> tuple[Study, ...]:
    """All studies by name; may ask a PACS, so call it beside the event loop."""
    finals = frozenset(datastore.get_labeled_images())
    return tuple(_study(image_id, datastore, finals) for image_id in sorted(datastore.list_images(), key=_natural))


def _study(image_id: str, datastore: Datastore, finals: frozenset[str]) -> Study:
    tags = datastore.get_labels_by_image_id(image_id)
    if _FINAL in tags:
        info = datastore.get_label_info(tags[_FINAL], _FINAL)
        return Study(image_id, "final", _first_text(info, _WHO), _when(info.get("ts")))
    if image_id in finals:
        return Study(image_id, "final")
    if not tags:
        return Study(image_id, "unlabelled")
    infos = [datastore.get_label_info(label_id, tag) for tag, label_id in tags.items()]
    newest = max(infos, key=lambda info: _number(info.get("ts")))
    return Study(image_id, "model result", _first_text(newest, ("model",)), _when(newest.get("ts")))


def _first_text(info: dict[str, Any], keys: Sequence[str]) -> str:
    texts = (info.get(key) for key in keys)
    return next((text[:_WHO_LENGTH] for text in texts if isinstance(text, str) and text.strip()), "")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _when(seconds: object) -> str:
    """Date and time of a label; whatever a client wrote there, no page fails on it."""
    try:
        return datetime.fromtimestamp(_number(seconds)).strftime("%Y-%m-%d %H:%M") if _number(seconds) > 0 else ""
    except (OverflowError, OSError, ValueError):
        return ""


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key by which ``case2`` comes before ``case10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
