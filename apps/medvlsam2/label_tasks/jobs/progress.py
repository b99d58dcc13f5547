"""How far a training is, in a file that the server and the process that trains share, as viewers' bars read it.

3D Slicer and OHIF show ``epoch`` of ``total_epochs``, except that they show 0 where ``total_time`` is set, and take a
missing ``epoch``, OHIF also 0, for 1. So ``total_time`` is told only while no epoch has ended.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from medvlsam2 import atomic_files
from medvlsam2.data.studies.index import strict_json

logger = logging.getLogger(__name__)

NO_TIME: Final = "0:00:00"
"""What both viewers show as 0 %."""

_KEPT: Final = ("best_metric",)
"""What the newest run found holds until the next one has found its own."""


class TrainingProgress:
    """The file beside the scans that tells how far the newest training is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_s = time.monotonic()

    def told(self, default_epochs: int) -> dict[str, Any]:
        """The newest run: not yet one, on its way, ended, or ended before its time.

        Args:
            default_epochs: how many a run has that nobody asked for otherwise.
        """
        record = self._read()
        epoch, total = record.get("epoch"), record.get("total_epochs")
        if not isinstance(epoch, int | float) or not isinstance(total, int | float) or total < 1:
            return {"epoch": 0, "total_epochs": default_epochs, "total_time": NO_TIME}
        if epoch < total and not self._is_running():
            kept = {key: record[key] for key in _KEPT if key in record}
            return {**kept, "epoch": 0, "total_epochs": total, "total_time": NO_TIME, "interrupted": True}
        return {**record, "total_time": NO_TIME} if epoch < 1 else record

    @contextmanager
    def running(self, total_epochs: int) -> Iterator[None]:
        """A run of this process, for the time of the block."""
        self._start_s = time.monotonic()
        with self._lock():
            self._write(0, total_epochs, {})
            yield

    def epoch_done(self, epoch: int, total_epochs: int, loss: float) -> None:
        """Note that an epoch has ended."""
        self._write(epoch, total_epochs, {"loss": loss})
        logger.info("epoch %d of %d: loss %.4f after %d s", epoch, total_epochs, loss, self._seconds())

    def end(self, total_epochs: int, found: Mapping[str, Any]) -> None:
        """Note what came of the run."""
        self._write(total_epochs, total_epochs, found)

    def _write(self, epoch: int, total_epochs: int, found: Mapping[str, Any]) -> None:
        before = self._read()
        kept = {key: before[key] for key in _KEPT if key in before}
        record = {**kept, **found, "epoch": epoch, "total_epochs": total_epochs, "seconds": self._seconds()}
        atomic_files.write_text(self._path, json.dumps(strict_json(record)))

    def _seconds(self) -> int:
        return round(time.monotonic() - self._start_s)

    def _read(self) -> dict[str, Any]:
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        known = strict_json(record) if isinstance(record, dict) else {}
        return {key: value for key, value in known.items() if key != "total_time"}

    def _lock(self) -> FileLock:
        """Held by the process that trains; the system ends it with that process."""
        return FileLock(self._path.with_suffix(".lock"), timeout=0)

    def _is_running(self) -> bool:
        try:
            with self._lock():
                return False
        except Timeout:
            return True
