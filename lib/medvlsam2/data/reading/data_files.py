"""Which data files belong to the header of an NRRD or MetaImage file; they must lie beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from medvlsam2.data.reading import names

_HEADER_BYTES: Final = 2**16
_META_DATA: Final = re.compile(rb"^ElementDataFile\s*=\s*(.*?)\s*$", re.MULTILINE)
_NRRD_DATA: Final = re.compile(rb"^data ?file:\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)


def named_data_files(path: Path) -> list[Path]:
    """The files that hold a scan's voxels, in order: the file itself, or those that its header names."""
    suffix = names.known_suffix(path)
    if suffix not in names.ITK_SUFFIXES:
        return [path]
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    pattern = _META_DATA if suffix in names.META_SUFFIXES else _NRRD_DATA
    found = pattern.search(start)
    if found is None or found[1].upper() in (b"LOCAL", b""):
        return [path]
    return [path.parent / found[1].decode(errors="replace")]
