"""The file that a viewer gets of a scan, and the checksum by which it knows it again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from label_tasks.store.scan_folder import ScanFolder
from medvlsam2 import atomic_files
from medvlsam2.data.scan_download import as_one_file, loads_as_it_is

CONVERTED: Final = ".converted"
"""Folder of scans that no viewer loads as they are, as NIfTI."""


def sent_file(store: ScanFolder, source: Path, image: str) -> Path:
    """The scan as one file that a viewer loads; of those made here only the newest of an image is kept.

    Args:
        store: the datastore.
        source: the scan's file or folder.
        image: its id.

    Raises:
        UnreadableVolume: if the scan cannot be read.
    """
    if loads_as_it_is(source):
        return source
    folder = store.data_dir / CONVERTED / image
    atomic_files.make_folder(folder.parent, private=True)
    made = as_one_file(source, folder, image)
    for other in folder.iterdir():
        if other != made and other.is_file():
            other.unlink(missing_ok=True)
    return made


def checksum(path: Path) -> str:
    """As 3D Slicer compares it: it takes a file of its cache by the name alone, unless a reply tells another checksum.

    Of two scans with one name, in two studies folders or before and after a change, it would show the first twice.
    """
    with path.open("rb") as stream:
        return f"SHA256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
