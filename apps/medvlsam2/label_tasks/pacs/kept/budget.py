"""Disk budget of the fetched series: above it, the series that were used longest ago are removed.

Whatever the budget is, a series stays while one of its labels waits for the PACS, for some time after each use, and
while a training or an export holds the cache. Labels are stored in another folder and are never removed.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from medvlsam2 import atomic_files

logger = logging.getLogger(__name__)

IN_USE_S: Final = 1800.0
"""Seconds that a series stays after its last use: longer than a request waits for the model and reads the scan."""

SPARE_BYTES: Final = 2 * 2**30
"""Bytes of the disk that stay free for the next series and for labels, also if the budget allows more."""

FORGOTTEN_S: Final = 3600.0
"""Age in seconds at which a temporary file belongs to a killed process: no series takes so long to fetch."""

_HELD: Final = ".held"


@dataclass(frozen=True)
class KeptSeries:
    """A series on the disk."""

    uid: str
    size_bytes: int
    used: float
    """Time of the last use, as a Unix time."""


class Shelf:
    """The folder of the fetched series. Each series has a folder of files, a manifest beside it, and a lock.

    Args:
        folder: folder of all series.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest(self, series_uid: str) -> Path:
        """Return the manifest of a series: it holds names and sizes of the files; its file time is the last use."""
        return self.folder / f"{series_uid}.json"

    def lock(self, series_uid: str, timeout_s: float) -> FileLock:
        """Return the lock of a series; whoever fetches or removes the series holds it."""
        return FileLock(self.folder / f"{series_uid}.lock", timeout=timeout_s)

    def use(self, series_uid: str) -> None:
        """Record that a series is used now; to be called before its manifest is read."""
        with suppress(OSError):
            os.utime(self.manifest(series_uid))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every series on the disk while the block runs; any number of threads and processes may do so at once."""
        with (self.folder / _HELD).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def series(self) -> list[KeptSeries]:
        """Return all series; the one that was used longest ago comes first."""
        found = []
        for manifest in self.folder.glob("*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                sizes = json.loads(manifest.read_text(encoding="utf-8"))["instances"].values()
                found.append(KeptSeries(manifest.stem, sum(sizes), manifest.stat().st_mtime))
        return sorted(found, key=lambda one: one.used)

    def make_room(self, limit_bytes: int, waiting: Callable[[], Collection[str]]) -> int:
        """Remove series until the others fit into the budget and SPARE_BYTES of the disk are free.

        Args:
            limit_bytes: the budget.
            waiting: returns the series with a label that waits for the PACS; called only if a series must go.

        Returns:
            Number of series removed.
        """
        kept = self.series()
        over_bytes = self._over(kept, limit_bytes)
        if over_bytes <= 0:
            return 0
        removed = 0
        with (self.folder / _HELD).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0  # a training or an export needs them; the next fetch tries again
            stays = set(waiting())
            for one in kept:
                if over_bytes <= 0:
                    break
                if one.uid not in stays and self._removed(one.uid):
                    over_bytes -= one.size_bytes
                    removed += 1
        if over_bytes > 0:
            logger.info("The fetched series take %d MiB more than they may; all are in use", over_bytes // 2**20)
        return removed

    def clear_remains(self) -> None:
        """Remove the remains of killed processes: folders without a manifest, and temporary files."""
        for path in self.folder.iterdir():
            if path.name.startswith(atomic_files.PARTIAL_PREFIX):
                remove_forgotten(path)
            elif path.is_dir() and not path.name.startswith(".") and not self.manifest(path.name).exists():
                with suppress(Timeout), self.lock(path.name, 0):
                    if not self.manifest(path.name).exists():
                        shutil.rmtree(path, ignore_errors=True)

    def _over(self, kept: list[KeptSeries], limit_bytes: int) -> int:
        free_bytes = shutil.disk_usage(self.folder).free
        return max(sum(one.size_bytes for one in kept) - limit_bytes, SPARE_BYTES - free_bytes)

    def _removed(self, series_uid: str) -> bool:
        """Remove a series that nobody uses. If a reader touches the manifest meanwhile, the series stays."""
        manifest, aside = self.manifest(series_uid), self.folder / f".removing-{series_uid}"
        try:
            with self.lock(series_uid, 0):
                if time.time() - manifest.stat().st_mtime < IN_USE_S:
                    return False
                atomic_files.rename(manifest, aside, flush=False)
                if time.time() - aside.stat().st_mtime < IN_USE_S:
                    atomic_files.rename(aside, manifest, flush=False)
                    return False
                shutil.rmtree(self.folder / series_uid, ignore_errors=True)
                aside.unlink()
        except (Timeout, FileNotFoundError):
            return False
        return True


def held_until_the_end(blocks: Iterator[bytes], holds: ExitStack) -> Iterator[bytes]:
    """Yield the same blocks, and release what is held after the last one."""
    with holds:
        yield from blocks


def remove_left(root: Path, *patterns: str) -> None:
    """Remove the remains of killed servers, also of earlier versions, from a cache folder."""
    for pattern in patterns:
        for path in root.glob(pattern):
            remove_forgotten(path)


def remove_forgotten(path: Path) -> None:
    """Remove a temporary file or folder of a killed process; one that may still be in use stays."""
    with suppress(OSError):
        if time.time() - path.lstat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
