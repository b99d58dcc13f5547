"""A lock that lets one process at a time change a studies folder: servers and trainings may share one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from medvlsam2 import atomic_files
from medvlsam2.errors import FolderBusy

LOCK_FILE: Final = ".lock"
"""The name that the host's own datastore uses, so that a host without our app waits as well."""

WAIT_S: Final = 30.0
"""How long to wait for the lock. A change takes well under a second, so a process that holds the lock longer hangs."""


class FolderLock:
    """A lock that the same thread may take again while it holds it.

    The lock belongs to the folder that existed when it was made. If the disk of that folder is unmounted, the lock
    cannot be taken: files that were written into the empty mount point would be hidden as soon as the disk is back.
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
    """The error for a folder that has gone, or was replaced by another one."""
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
