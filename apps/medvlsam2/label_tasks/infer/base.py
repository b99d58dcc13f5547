"""What all infer tasks share: reading the scan, errors as HTTP, and the record that every reply carries."""

from __future__ import annotations

import functools
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask

from label_tasks.failures import errors_as_http
from label_tasks.infer.call import Call
from label_tasks.infer.replies import Reply
from medvlsam2 import NOTICE
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import UnreadableVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.records.to_json import to_json

logger = logging.getLogger(__name__)


class ScanReader:
    """Reads scans and keeps the last few, so that the next click on the same scan finds it in memory."""

    def __init__(self, kept: int = 2) -> None:
        self._read = functools.lru_cache(maxsize=kept)(_read_version)

    def __call__(self, path: str, image_id: str) -> CTVolume:
        """The scan at ``path``, read again when the file has changed.

        Raises:
            UnreadableVolume: if there is none.
        """
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise UnreadableVolume(
                f"Image '{image_id}' cannot be opened ({error.strerror}). Check that its file is still there."
            ) from error
        return self._read(path, image_id, (stat.st_mtime_ns, stat.st_size))


class EngineTask(InferTask):  # type: ignore[misc]
    """One ability of the model under one of the host's task types."""

    def __init__(
        self,
        engine: Engine,
        scans: ScanReader,
        *,
        kind: str,
        labels: Mapping[str, int] | Sequence[str],
        description: str,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(kind, labels, 3, description, dict(options))
        self._engine = engine
        self._scans = scans

    def is_valid(self) -> bool:
        """Always: the task is listed even without weights, and a request then says what is missing."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer one request of the host."""
        with errors_as_http():
            call = Call.of({**self._config, **request}, self._scans)
            with call.watch.lap("total"):
                reply = self.answer(call)
        engine, laps_s = self._engine, call.watch.laps_s
        record = to_json(reply.result, model_id=engine.model_id, model_version=engine.version, values=reply.values)
        record["warnings"] += [*reply.notes, NOTICE]
        record["latencies"] |= laps_s
        logger.info("%s answered in %.2f s", type(self).__name__, laps_s["total"])
        return str(reply.file), record

    @abstractmethod
    def answer(self, call: Call) -> Reply:
        """Answer one call."""


def _read_version(path: str, image_id: str, _version: tuple[int, int]) -> CTVolume:
    return read_volume(path, image_id)
