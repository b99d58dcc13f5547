"""Small pictures of the studies: a thread draws one at a time, and they are kept in memory.

No picture of a patient is written to the disk. A picture is drawn again when the scan's file has changed. A request is
refused if too many others wait; the page then shows a sentence in place of the picture.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from cachetools import LRUCache
from monailabel.interfaces.datastore import Datastore

from label_tasks.pacs.datastore import PacsDatastore
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import MedVLSAM2Error, UnknownImage
from medvlsam2.tasks.thumbnail import thumbnail_png

KEPT: Final = 2000
"""Number of pictures in memory: at about 50 kB each they take 100 MB at most."""
MAX_WAITING: Final = 60
"""Most requests that wait for a picture: those of two pages of studies. Drawing one takes about a second."""

WAIT_S: Final = 1.0
"""Longest time that the start page waits to find a readable scan; an unreadable one is found within 0.1 s."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A picture, or the reason why there is none."""

    version: str
    """Text that changes when the scan's file changes."""
    png: bytes = b""
    problem: str = ""

    @property
    def is_unreadable(self) -> bool:
        """Whether reading the scan was tried and failed, in contrast to a picture that is made later."""
        return self.version != "" and self.problem != ""


class Pictures:
    """Pictures of the scans of one datastore."""

    def __init__(self, kept: int = KEPT, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting = 0
        self._drawing = anyio.CapacityLimiter(1)
        self._finding = anyio.CapacityLimiter(4)
        self._pictures: LRUCache[str, Picture] = LRUCache(kept)
        self._begun: set[asyncio.Future[Picture]] = set()
        """Running tasks; without this reference the garbage collector could end them early."""

    async def of(self, image_id: str, datastore: Datastore) -> Picture:
        """Return the picture of a scan of the datastore."""
        path, version = await anyio.to_thread.run_sync(_found, image_id, datastore, limiter=self._finding)
        if path is None:
            return Picture(version, problem="The picture is made once the study was fetched from the PACS.")
        known = self._pictures.get(image_id)
        if known is not None and known.version == version:
            return known
        if self._waiting >= self._max_waiting:
            return Picture("", problem="Many pictures are being made now. Load the page again in a minute.")
        self._waiting += 1
        try:
            made = await anyio.to_thread.run_sync(_drawn, image_id, path, version, limiter=self._drawing)
        finally:
            self._waiting -= 1
        self._pictures[image_id] = made
        return made

    async def first_readable(self, image_ids: Sequence[str], datastore: Datastore) -> str:
        """Return the first of some scans that can be read, if one is found within ``WAIT_S``.

        Returns:
            Its id; the id of the scan that is being read if the time is over; empty if none can be read.
        """
        end_s = time.monotonic() + WAIT_S
        for image_id in image_ids:
            making = asyncio.ensure_future(self.of(image_id, datastore))
            self._begun.add(making)
            making.add_done_callback(self._ended)
            await asyncio.wait({making}, timeout=max(0.0, end_s - time.monotonic()))
            if not making.done() or (making.exception() is None and not making.result().is_unreadable):
                return image_id
        return ""

    def _ended(self, making: asyncio.Future[Picture]) -> None:
        self._begun.discard(making)
        if not making.cancelled() and making.exception() is not None:
            logger.info("A picture was not made", exc_info=making.exception())

    def problem(self, image_id: str) -> str:
        """Return why a scan has no picture; empty if it has one, or if no picture was asked for yet."""
        known = self._pictures.get(image_id)
        return known.problem if known is not None else ""


def _found(image_id: str, datastore: Datastore) -> tuple[Path | None, str]:
    """Return the path of a scan and a text that changes with its content; no path if the scan is only in the PACS.

    Raises:
        UnknownImage: if the datastore does not hold it.
    """
    if isinstance(datastore, PacsDatastore):
        path = datastore.path_if_here(image_id)
        if path is None:
            return None, ""
    else:
        path = Path(datastore.get_image_uri(image_id))
    try:
        facts = path.stat()
    except OSError:
        raise UnknownImage(f"Image '{image_id}' is not in the datastore, or its file is gone.") from None
    return path, f"{facts.st_mtime_ns:x}-{facts.st_size:x}"


def _drawn(image_id: str, path: Path, version: str) -> Picture:
    try:
        volume = read_volume(path, image_id)
    except MedVLSAM2Error as error:
        return Picture(version, problem=str(error))
    sides_known = not any("left and right" in sentence for sentence in volume.warnings)
    return Picture(version, png=thumbnail_png(volume, sides_known=sides_known))
