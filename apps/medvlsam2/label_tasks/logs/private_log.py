"""The log of one server: in a folder that only the server's user can open, and shared with no other server.

A running server holds a lock in its folder. Folders of servers that are gone are removed some weeks after their last
line.
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
"""Environment variable with the log of this server, as ``serve.py`` has chosen it."""
NAME: Final = "app.log"
LOCK: Final = "in-use"
"""A file that the server holds a lock on; the system ends the lock with the server, however that ends."""
KEPT_DAYS: Final = 30
"""So long a log is kept after its last line, once its server is gone."""
_OWN: Final = re.compile(r"[0-9a-f]{16}")
_PLACE: Final = "${LOGFILE}"
_WRITERS: Final = "logging.handlers.RotatingFileHandler"


class PrivateLog(logging.handlers.RotatingFileHandler):
    """A log file that only the server's user can read, after a rollover as well."""

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.fchmod(stream.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        return stream


class ServerLog:
    """The log of the server of these studies at this address; the same after a restart.

    Args:
        folder: of all logs.
        studies: folder, or address of a DICOMweb server.
        host: address that it listens on.
        port: of it.
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
        """Say that no server writes it any more."""
        self._lock.close()


def _shared_lock(folder: Path) -> BinaryIO:
    """Shared, for a server may start at an address while the one before is still ending."""
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
            except BlockingIOError:  # its server runs, and had nothing to say
                continue
            shutil.rmtree(own, ignore_errors=True)


def log_config(host_config: Path, log: Path) -> str:
    """The host's settings of logging as JSON, with this log as the one file, and nothing of a patient in any line."""
    text = host_config.read_text(encoding="utf-8")
    config = json.loads(text.replace(_PLACE, json.dumps(str(log))[1:-1]))
    for formatter in config["formatters"].values():
        formatter["class"] = f"{AnonymousFormatter.__module__}.{AnonymousFormatter.__name__}"
    for handler in config["handlers"].values():
        if handler["class"] == _WRITERS:
            handler["class"] = f"{__name__}.{PrivateLog.__name__}"
    return json.dumps(config)


def own_log() -> Path | None:
    """The log of this server; None where it was not started by ``serve.py``."""
    return Path(found) if (found := os.environ.get(LOG)) else None
