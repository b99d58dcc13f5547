"""Temporary files of patients: in folders that only the server's user can open, and removed after use."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

logger = logging.getLogger(__name__)

PREFIX: Final = "medvlsam2-"
"""Start of the names of private folders."""
SERVER_PREFIX: Final = f"{PREFIX}serve-"
LOCK: Final = "in-use"
"""The file that a running server locks; the system releases the lock when the server ends, also when it is killed."""

_COPY_BYTES: Final = 1 << 20


class ServerTemp:
    """The temporary folder of a running server, which the host's code and the server's processes use too.

    A server that was killed leaves its folder behind; the next server removes that folder.
    """

    def __init__(self) -> None:
        _remove_left_over(Path(tempfile.gettempdir()))
        self.folder = Path(tempfile.mkdtemp(prefix=SERVER_PREFIX))
        self._lock = (self.folder / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def use(self) -> None:
        """Use this folder for all temporary files of this process and of the processes that it starts."""
        tempfile.tempdir = os.environ["TMPDIR"] = str(self.folder)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only the server's user can open, and remove it when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_private(source: BinaryIO, path: Path) -> int:
    """Copy a stream into a new file that only the server's user can read, and return the number of bytes."""
    size_bytes = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        while block := source.read(_COPY_BYTES):
            target.write(block)
            size_bytes += len(block)
    return size_bytes


def _remove_left_over(parent: Path) -> None:
    for folder in parent.glob(f"{SERVER_PREFIX}*"):
        if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
            continue
        try:
            with (folder / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                logger.info("Removed the temporary files of a server that was killed")
        except FileNotFoundError:
            logger.info("Folder '%s' has no lock: a server is being started or stopped", folder.name)
        except BlockingIOError:
            continue
