"""Files that are whole or not there, whatever stops the server; folders that only its own user can open."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o700


def private_folder(path: Path) -> Path:
    """Make a folder that nobody else can open, and close one that others can."""
    path.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    path.chmod(PRIVATE)
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by another content: after a crash it is the old one or the new one, never a part."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
