"""Private folders for uploads that a server is receiving into a studies folder.

Each upload has a folder of its own, and the receiving server holds a lock file beside it. The lock is taken before the
folder is made. When a process is killed, the system releases its locks, so the next server can tell the uploads that no
server is receiving any more, and removes them.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from medvlsam2 import atomic_files
from medvlsam2.data.studies.folder_lock import gone

INCOMING: Final = ".incoming"
_LOCK_SUFFIX: Final = ".lock"

FORGOTTEN_S: Final = 3600.0
"""Age at which an upload without a lock file is removed. Only servers of an earlier version made no lock file; an
upload takes minutes at most."""


@contextmanager
def receiving(root: Path, name: str) -> Iterator[Path]:
    """A place for one upload, in a private folder that is removed when the block ends.

    Args:
        root: the studies folder.
        name: of the file.

    Raises:
        FolderBusy: if the studies folder is not there any more.
        StorageFull: if nothing can be written in it.
    """
    if not root.is_dir():
        raise gone(root)
    atomic_files.make_folder(root / INCOMING, private=True)
    private = root / INCOMING / secrets.token_hex(8)
    with ExitStack() as held:
        with atomic_files.no_room_as_error(INCOMING):
            held.enter_context(_lock_of(private))
            held.callback(_remove, private)
            private.mkdir(mode=0o700)
        yield private / name


def remove_abandoned(root: Path) -> None:
    """Remove the uploads of servers that were killed; uploads of running servers stay."""
    incoming = root / INCOMING
    for private in incoming.iterdir() if incoming.is_dir() else ():
        if not private.is_dir():
            continue
        with suppress(Timeout, FileNotFoundError):  # its server lives, or has finished with it just now
            if Path(_lock_of(private).lock_file).exists():
                with _lock_of(private):
                    _remove(private)
            elif time.time() - private.stat().st_mtime > FORGOTTEN_S:
                _remove(private)


def _lock_of(private: Path) -> FileLock:
    return FileLock(private.with_name(private.name + _LOCK_SUFFIX), timeout=0)


def _remove(private: Path) -> None:
    shutil.rmtree(private, ignore_errors=True)
    Path(_lock_of(private).lock_file).unlink(missing_ok=True)
