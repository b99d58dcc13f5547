"""Recognition of DICOM files by content: a file with the mark of DICOM Part 10, or a bare data set.

A bare data set has no preamble and no mark; old archives hold such files.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

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
