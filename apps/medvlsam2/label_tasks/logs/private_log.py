"""The log of one server: in a folder that only the server's user can open, and shared with no other server."""

from __future__ import annotations

import hashlib
import json
import logging.handlers
import os
import stat
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from label_tasks.logs.short_ids import AnonymousFormatter

LOG: Final = "MEDVLSAM2_LOG"
"""Environment variable with the log of this server, as ``serve.py`` has chosen it."""
LOG_FOLDER: Final = "MEDVLSAM2_LOGS"
"""Environment variable with the folder of all logs; by default ``logs`` in the app's folder."""
NAME: Final = "app.log"
_PLACE: Final = "${LOGFILE}"
_WRITERS: Final = "logging.handlers.RotatingFileHandler"


class PrivateLog(logging.handlers.RotatingFileHandler):
    """A log file that only the server's user can read, after a rollover as well."""

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.fchmod(stream.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        return stream


def server_log(app_dir: Path, studies: str, host: str, port: int) -> Path:
    """The log of the server of these studies at this address; the same after a restart.

    Args:
        app_dir: folder of the app.
        studies: folder, or address of a DICOMweb server.
        host: address that it listens on.
        port: of it.
    """
    folder = Path(os.environ.get(LOG_FOLDER) or app_dir / "logs")
    folder.mkdir(parents=True, exist_ok=True)
    place = str(Path(studies).resolve()) if Path(studies).is_dir() else studies
    own = folder / hashlib.sha256(f"{place}\n{host}:{port}".encode()).hexdigest()[:16]
    own.mkdir(mode=0o700, exist_ok=True)
    own.chmod(0o700)
    return own / NAME


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
