"""Progress of a training, in a file that the server and the training process share; viewers show it as a bar.

3D Slicer and OHIF show ``epoch`` of ``total_epochs``. But they show 0 if ``total_time`` is set, and they take a missing
``epoch`` for 1 (OHIF also an ``epoch`` of 0). So the file has ``total_time`` only until the first epoch has ended.
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
"""The record that both viewers show as 0 %."""

_KEPT: Final = ("best_metric",)
"""Results of the newest run; they are kept until the next run has results of its own."""


class TrainingProgress:
    """The progress file of the newest training, beside the scans."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_s = time.monotonic()

    def told(self, default_epochs: int) -> dict[str, Any]:
        """Return the state of the newest run: none yet, running, ended, or stopped early.

        Args:
            default_epochs: epochs of a run whose request gave no number.
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
        """Record a run of this process while the block runs."""
        self._start_s = time.monotonic()
        with self._lock():
            self._write(0, total_epochs, {})
            yield

    def epoch_done(self, epoch: int, total_epochs: int, loss: float) -> None:
        """Record that an epoch has ended."""
        self._write(epoch, total_epochs, {"loss": loss})
        logger.info("epoch %d of %d: loss %.4f after %d s", epoch, total_epochs, loss, self._seconds())

    def end(self, total_epochs: int, found: Mapping[str, Any]) -> None:
        """Record the results of the run."""
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
        """Lock of the training process; the system releases the lock when that process ends."""
        return FileLock(self._path.with_suffix(".lock"), timeout=0)

    def _is_running(self) -> bool:
        try:
            with self._lock():
                return False
        except Timeout:
            return True
