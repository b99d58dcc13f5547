"""Checks, before a server starts, that it can write labels into a studies folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from medvlsam2.atomic_files import PARTIAL_PREFIX
from medvlsam2.data.studies.index import LABELS
from medvlsam2.errors import InvalidConfig


def require_writable(studies: Path) -> None:
    """Refuse a studies folder in which no file can be made.

    It writes and removes a small file: permissions alone do not show a read-only mount or a full disk.

    Raises:
        InvalidConfig: naming the folder and the system's reason.
    """
    labels = studies / LABELS
    folders = [studies, labels, *(path for path in (labels.iterdir() if labels.is_dir() else ()) if path.is_dir())]
    for folder in folders:
        if not folder.is_dir():
            continue
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=PARTIAL_PREFIX):
                pass
        except OSError as error:
            raise InvalidConfig(
                f"The studies folder cannot be served: nothing can be written to '{folder}' ({error.strerror}), and "
                "labels are kept in it. Make it writable for this user, or serve a folder that is and that holds "
                "copies of the scans or links to them."
            ) from None
