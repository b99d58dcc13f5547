"""The file of a scan that a viewer downloads, and the checksum by which the viewer recognises it in its cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from label_tasks.store.scan_folder import ScanFolder
from medvlsam2 import atomic_files
from medvlsam2.data.scan_download import as_one_file, loads_as_it_is

CONVERTED: Final = ".converted"
"""Folder of the NIfTI files that are made of scans which no viewer loads as they are."""


def sent_file(store: ScanFolder, source: Path, image: str) -> Path:
    """Return a scan as one file that viewers load. Of the files made here only the newest of each image is kept.

    Args:
        store: the datastore.
        source: the scan's file or folder.
        image: id of the scan.

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
    """Return the checksum that 3D Slicer compares. Without one Slicer takes any file of that name from its cache.

    Then it would show the first of two scans with one name, e.g. of two studies folders, or before and after a change.
    """
    with path.open("rb") as stream:
        return f"SHA256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
