"""One writer at a time, also across processes: two servers, or a server and a training run, may share a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from medvlsam2 import atomic_files
from medvlsam2.errors import FolderBusy

LOCK_FILE: Final = ".lock"
"""The host's own name, so that a host without our app waits as well."""

WAIT_S: Final = 30.0
"""A change takes well under a second; who holds the lock longer hangs."""


class FolderLock:
    """A lock that the same thread may take again while it holds it.

    Of the folder that was there at first: where its disk is unmounted, nothing is written into what is left in its
    place, which nobody would see again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = _identity(folder)
        self._lock = FileLock(folder / LOCK_FILE, timeout=WAIT_S)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock during a block.

        Raises:
            FolderBusy: if another process or thread keeps it for WAIT_S, or the folder is not there any more.
            StorageFull: if there is no room for the lock's file.
        """
        if _identity(self._folder) != self._identity:
            raise gone(self._folder)
        try:
            with atomic_files.no_room_as_error(LOCK_FILE):
                self._lock.acquire()
        except Timeout:
            raise FolderBusy(
                f"The folder '{self._folder.name}' has been locked by another process for {WAIT_S:.0f} s. Nothing was "
                "changed. Try again; if it stays so, look for a server that hangs on the same folder."
            ) from None
        try:
            yield
        finally:
            self._lock.release()


def gone(folder: Path) -> FolderBusy:
    """The error that a folder is not the one that it was."""
    return FolderBusy(
        f"The folder '{folder.name}' is not there any more, or another one is in its place. Nothing was changed. Mount "
        "its disk or move it back; after that, or for another folder, start the server again."
    )


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
