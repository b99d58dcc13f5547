"""The studies of the datastore and how far each is, for the start page.

A PACS may be slow or away: the list is made beside the event loop, one at a time, and a page waits only a moment
for it. Until it comes, the page shows the list before it, or says that there is none yet.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import anyio

from label_tasks.store.scan_folder import ScanFolder
from medvlsam2.data.reading.plain_names import FINAL

logger = logging.getLogger(__name__)

State = Literal["unlabelled", "model result", "final"]
STATES: Final[tuple[State, ...]] = ("unlabelled", "model result", "final")

WAIT_S: Final = 3.0
"""Longest time that a page waits for the list; a PACS at hand answers in less than a second."""

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
    note: str = ""
    """Whether the PACS has the label; empty where there is no PACS."""
    date: str = ""
    """Date of the examination, where a PACS tells it."""
    study_uid: str = ""
    """By which OHIF opens the study; empty where there is no PACS."""


@dataclass(frozen=True)
class StudyList:
    """The studies, as far as they are known."""

    studies: tuple[Study, ...] = ()
    problems: tuple[str, ...] = ()
    """Sentences, e.g. that the list is missing or old."""
    left_out: tuple[str, ...] = ()
    """Why files of the folder are no study, one sentence each."""


class Studies:
    """The last list of the studies, made anew for each page as long as that is quick.

    Args:
        make: lists the studies; it is run in a thread, never twice at once.
        wait_s: longest time that :meth:`listing` waits for it.
    """

    def __init__(self, make: Callable[[], StudyList], wait_s: float = WAIT_S) -> None:
        self._make = make
        self._wait_s = wait_s
        self._thread = anyio.CapacityLimiter(1)
        self._running: asyncio.Task[StudyList] | None = None
        self._asked_s = 0.0
        self._last: StudyList | None = None

    async def listing(self) -> StudyList:
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
        return self._last

    def _known(self, what: str) -> StudyList:
        last = self._last or StudyList()
        studies = last.studies
        shown = "The list below is the last one known." if studies else "So no study is listed."
        return StudyList(studies, (f"The source of the studies {what}. {shown}",), last.left_out)


def listing_of(datastore: ScanFolder) -> StudyList:
    """All studies by name. It may look through a folder on a slow disk, so call it beside the event loop."""
    objects = datastore.json()["objects"]
    finals = frozenset(datastore.get_labeled_images())
    studies = tuple(
        _study(image_id, objects[image_id].get("labels", {}), datastore.get_image_info(image_id), finals)
        for image_id in sorted(objects, key=_natural)
    )
    left_out = tuple(f"'{name}' {reason}" for name, reason in sorted(datastore.left_out().items()))
    return StudyList(studies, tuple(_of_the_pacs(datastore.status().get("pacs", {}))), left_out)


def _of_the_pacs(state: Mapping[str, Any]) -> Iterator[str]:
    if state.get("reason"):
        yield f"{state['reason']} The studies below are those that were seen last."
    if waiting := state.get("labels_waiting"):
        yield f"Labels that wait to be sent to the PACS: {waiting}. They are stored here, and are sent when it answers."


def _study(image_id: str, labels: Mapping[str, Any], told: Mapping[str, Any], finals: frozenset[str]) -> Study:
    date, study_uid = _first_text(told, ("StudyDate",)), str(told.get("StudyInstanceUID") or "")
    seen = Study(image_id, "unlabelled", date=_dashed(date), study_uid=study_uid)
    if FINAL in labels:
        info = _info(labels[FINAL])
        pacs = info.get("pacs")
        note = _first_text(pacs, ("state",)) if isinstance(pacs, Mapping) else ""
        return replace(seen, state="final", by=_first_text(info, _WHO), when=_when(info.get("ts")), note=note)
    if image_id in finals:
        return replace(seen, state="final", note="in the PACS")
    if not labels:
        return seen
    newest = max(map(_info, labels.values()), key=lambda info: _number(info.get("ts")))
    return replace(seen, state="model result", by=_first_text(newest, ("model",)), when=_when(newest.get("ts")))


def _info(label: Any) -> Mapping[str, Any]:
    info = label.get("info") if isinstance(label, Mapping) else None
    return info if isinstance(info, Mapping) else {}


def _dashed(date: str) -> str:
    """A date as DICOM writes it, for people."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if re.fullmatch("[0-9]{8}", date) else ""


def _first_text(info: Mapping[str, Any], keys: Sequence[str]) -> str:
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
