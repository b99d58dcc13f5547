"""Keeps refused labels with the reason, so that an annotator's work is not lost when it is refused."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from medvlsam2 import atomic_files

REFUSED: Final = ".refused"
"""Folder below the studies folder; only the server's user can open it."""

MAX_KEPT: Final = 200
MAX_KEPT_BYTES: Final = 2 * 10**9
"""The oldest refused files are removed beyond either limit: the server has no login, so anyone could fill the disk."""


def keep(root: Path, source: Path, told: Mapping[str, Any]) -> None:
    """Keep a refused file.

    Args:
        root: the studies folder.
        source: the file.
        told: the reason, and what the client sent along.

    Raises:
        StorageFull: if there is no room.
    """
    folder = root / REFUSED
    atomic_files.make_folder(folder, private=True)
    name = f"{time.time_ns()}"
    atomic_files.copy_file(source, folder / f"{name}{''.join(source.suffixes)}", private=True)
    atomic_files.write_text(folder / f"{name}.told.json", json.dumps(told, indent=1), private=True)
    kept = sorted(folder.iterdir(), reverse=True)
    sizes = itertools.accumulate(path.stat().st_size for path in kept)
    for number, (path, size_bytes) in enumerate(zip(kept, sizes, strict=True)):
        if number >= 2 * MAX_KEPT or size_bytes > MAX_KEPT_BYTES:
            path.unlink(missing_ok=True)
