"""Which files and folders of a studies folder are scans."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medvlsam2.data.studies.scan_list import FoundScan, ScanList

SCAN_SUFFIXES: Final = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
"""Image files that the readers know."""

_DICOM_MAGIC_AT_BYTES: Final = 128


def list_scans(folder: Path) -> ScanList:
    """Image files, and sub-folders that each hold one DICOM series, by image id."""
    scans: dict[str, FoundScan] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((suffix for suffix in SCAN_SUFFIXES if path.name.endswith(suffix)), "")
        if path.name.startswith("."):
            continue
        if path.is_file() and suffix:
            scans.setdefault(path.name.removesuffix(suffix), FoundScan(path.name, suffix))
        elif holds_dicom(path):
            scans.setdefault(path.name, FoundScan(path.name, ""))
    return ScanList(scans)


def holds_dicom(folder: Path) -> bool:
    """Whether the first file of a folder is DICOM (Part 10)."""
    if not folder.is_dir():
        return False
    first = next((path for path in sorted(folder.iterdir()) if path.is_file()), None)
    if first is None:
        return False
    with first.open("rb") as stream:
        stream.seek(_DICOM_MAGIC_AT_BYTES)
        return stream.read(4) == b"DICM"
