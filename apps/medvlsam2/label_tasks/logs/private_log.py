"""The log of one server, in a folder of its own that only the server's user can open.

A running server holds a lock in its folder. The folder of a server that has ended is removed some weeks after the last
line of its log.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging.handlers
import os
import re
import shutil
import stat
import time
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final

from label_tasks.logs.short_ids import AnonymousFormatter

LOG: Final = "MEDVLSAM2_LOG"
"""Environment variable with the path of this server's log; ``serve.py`` sets it."""
NAME: Final = "app.log"
LOCK: Final = "in-use"
"""The file that a running server locks; the system releases the lock when the server ends, also when it is killed."""
KEPT_DAYS: Final = 30
"""Days that the log of a server that has ended is kept after its last line."""
_OWN: Final = re.compile(r"[0-9a-f]{16}")
_PLACE: Final = "${LOGFILE}"
_WRITERS: Final = "logging.handlers.RotatingFileHandler"


class PrivateLog(logging.handlers.RotatingFileHandler):
    """A log file that only the server's user can read; the files of earlier rollovers too."""

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.fchmod(stream.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        return stream


class ServerLog:
    """Return the log of the server of these studies at this address; after a restart the path is the same.

    Args:
        folder: folder of all logs.
        studies: studies folder, or address of a DICOMweb server.
        host: address that the server listens on.
        port: port that the server listens on.
    """

    def __init__(self, folder: Path, studies: str, host: str, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        place = str(Path(studies).resolve()) if Path(studies).is_dir() else studies
        own = folder / hashlib.sha256(f"{place}\n{host}:{port}".encode()).hexdigest()[:16]
        own.mkdir(mode=0o700, exist_ok=True)
        own.chmod(0o700)
        self.path = own / NAME
        self._lock = _shared_lock(own)
        _remove_old(folder)

    def close(self) -> None:
        """Release the lock: this server does not write the log any more."""
        self._lock.close()


def _shared_lock(folder: Path) -> BinaryIO:
    """The lock is shared: a server may start at an address while the previous server there is still ending."""
    lock = (folder / LOCK).open("ab")
    os.fchmod(lock.fileno(), stat.S_IRUSR | stat.S_IWUSR)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _remove_old(folder: Path) -> None:
    oldest_s = time.time() - KEPT_DAYS * 86_400
    for own in folder.iterdir():
        if not _OWN.fullmatch(own.name) or own.is_symlink() or not own.is_dir() or own.stat().st_uid != os.getuid():
            continue
        if max((path.lstat().st_mtime for path in (own, *own.iterdir())), default=0) > oldest_s:
            continue
        with (own / LOCK).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # the server of this log runs but has not written for long
                continue
            shutil.rmtree(own, ignore_errors=True)


def log_config(host_config: Path, log: Path) -> str:
    """Return the host's logging settings as JSON: this log is the only file, and no line holds data of a patient."""
    text = host_config.read_text(encoding="utf-8")
    config = json.loads(text.replace(_PLACE, json.dumps(str(log))[1:-1]))
    for formatter in config["formatters"].values():
        formatter["class"] = f"{AnonymousFormatter.__module__}.{AnonymousFormatter.__name__}"
    for handler in config["handlers"].values():
        if handler["class"] == _WRITERS:
            handler["class"] = f"{__name__}.{PrivateLog.__name__}"
    return json.dumps(config)


def own_log() -> Path | None:
    """Return the log of this server; None if ``serve.py`` did not start the server."""
    return Path(found) if (found := os.environ.get(LOG)) else None
