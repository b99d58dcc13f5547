"""Recognition of DICOM files by suffix and content: a file with the mark of DICOM Part 10, or a bare data set.

A bare data set has no preamble and no mark; old archives hold such files.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from medvlsam2.data.reading import names

MARK: Final = b"DICM"
MARK_AT_BYTES: Final = 128

_FIRST_GROUPS: Final = frozenset((0x0002, 0x0008))
"""Groups of the first element: a data set starts with the file's meta header or with the identifying group."""
_MAX_FIRST_ELEMENT: Final = 0x0070
"""Largest number of the first element in its group: 0x0070 is the manufacturer.

The elements before the manufacturer (identifiers, dates, modality) may have been removed from the data set."""
_MAX_FIRST_LENGTH: Final = 1024
"""Largest length of the first value in bytes. It is a group length, a character set or an identifier, each far
shorter."""
_VALUE_REPRESENTATIONS: Final = frozenset((b"UL", b"OB", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM", b"DT"))


def dicom_files(folder: Path) -> list[Path]:
    """Return all files in and below a folder that are DICOM by name or content, sorted, without hidden files."""
    return [file for file in files_below(folder) if is_dicom_file(file)]


def is_dicom_file(file: Path) -> bool:
    """Return whether a file is DICOM by its suffix, or by its content if its suffix names no other format."""
    if names.is_hidden(file) or not file.is_file():
        return False
    suffix = names.known_suffix(file)
    return suffix in names.DICOM_SUFFIXES or (not suffix and looks_like_dicom(file))


def files_below(folder: Path) -> list[Path]:
    """Return all files in and below a folder, sorted, without hidden files and folders."""
    return sorted(walk(folder))


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files in and below a folder, folder by folder, without hidden files and folders."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not names.is_hidden(Path(name)))
        for name in sorted(files):
            path = Path(place, name)
            if not names.is_hidden(path) and path.is_file():
                yield path


def looks_like_dicom(path: Path) -> bool:
    """Return whether the file carries the DICOM mark or starts like a bare data set."""
    start = _start(path)
    return start[MARK_AT_BYTES:] == MARK or is_bare_data_set(start)


def is_bare_data_set(start: bytes) -> bool:
    """Return whether the bytes can be the first element of a data set: a tag, then a type or a possible length.

    Example:
        >>> is_bare_data_set(bytes.fromhex("0800050043530a0049534f5f49522031"))  # (0008,0005) CS
        True
        >>> is_bare_data_set(b"exported for you")
        False
    """
    if len(start) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack(f"{order}HH", start[:4])
        if group not in _FIRST_GROUPS or element > _MAX_FIRST_ELEMENT:
            continue
        if start[4:6] in _VALUE_REPRESENTATIONS:
            return True
        (length,) = struct.unpack(f"{order}I", start[4:8])
        if 0 < length <= _MAX_FIRST_LENGTH:
            return True
    return False


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MARK_AT_BYTES + len(MARK))
    except OSError:
        return b""
