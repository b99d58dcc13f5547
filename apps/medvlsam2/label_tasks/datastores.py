"""The host's local datastore, taught that a folder of DICOM files is one image."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monailabel.datastore.local import LocalDatastore

SCAN_PATTERNS: Final = ("*.nii.gz", "*.nii", "*.nrrd", "*.mha", "*.mhd")
"""Image files that the readers know."""

_DICOM_MAGIC_AT_BYTES: Final = 128


class ScanFolder(LocalDatastore):  # type: ignore[misc]
    """A studies folder: image files, and sub-folders that each hold one DICOM series."""

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        files: dict[str, str] = super()._list_files(path, patterns)
        if Path(path).resolve() == Path(self._datastore.image_path()).resolve():
            files.update({folder.name: folder.name for folder in Path(path).iterdir() if holds_dicom(folder)})
        return files

    def _to_id(self, file: str) -> tuple[str, str]:
        if (Path(self._datastore.image_path()) / file).is_dir():
            return file, ""
        image_id, extension = super()._to_id(file)
        return image_id, extension


def holds_dicom(folder: Path) -> bool:
    """Whether the first file of a folder is DICOM (Part 10)."""
    if not folder.is_dir() or folder.name.startswith("."):
        return False
    first = next((path for path in sorted(folder.iterdir()) if path.is_file()), None)
    if first is None:
        return False
    with first.open("rb") as stream:
        stream.seek(_DICOM_MAGIC_AT_BYTES)
        return stream.read(4) == b"DICM"
