"""The text headers of NRRD and MetaImage as fields, without a meaning yet.

They are read here and not by ITK or teem: a header of a few bytes ends a process inside those (a number of
dimensions, a ``%`` in a name). pynrrd drops every letter that is no ASCII from the names of segments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medvlsam2.data.reading.causes import printable
from medvlsam2.data.reading.stored_array import unreadable
from medvlsam2.errors import UnreadableVolume

MAX_HEADER_BYTES: Final = 2**21
"""Much more than any header has: 33 segments of Slicer take 20 kB, private tags copied from DICOM some 100 kB."""

_NRRD_MARK: Final = "NRRD000"
_ESCAPED: Final = re.compile(r"\\(n|\\)")
_LIST: Final = re.compile(r"LIST(?:\s+\d+D?)?", re.IGNORECASE)
"""``LIST``, perhaps with the number of dimensions of each file."""


@dataclass(frozen=True)
class HeaderText:
    """Fields of one header.

    Args:
        fields: values by name in lower case without blanks, e.g. ``spacedirections``.
        pairs: key/value pairs of a NRRD, with their case.
        listed: names that follow ``LIST``, one a line.
        size_bytes: where the voxels start, if they are in this file.
    """

    fields: dict[str, str]
    pairs: dict[str, str] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    size_bytes: int = 0


def read_nrrd_header(path: Path) -> HeaderText:
    """The fields of a NRRD header, which ends at the first empty line or with the file.

    Raises:
        UnreadableVolume: if the file is no NRRD, or its header does not end.
    """
    lines = _Lines(path)
    mark = lines.next()
    if mark is None or not mark.startswith(_NRRD_MARK):
        raise UnreadableVolume(f"'{path.name}' is not a NRRD file though its name says so. Export it again.")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    listed: list[str] = []
    for line in iter(lines.next, None):
        if not line:
            break
        if line.startswith("#"):
            continue
        if is_list(fields.get("datafile", "")):
            listed.append(line)
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise unreadable(path, f"the header's line '{line[:40]}' is no field")
        if value.startswith("="):
            pairs[name] = _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else "\\", value[1:])
        else:
            _add(path, fields, name.lower().replace(" ", ""), value.strip())
    return HeaderText(fields, pairs, tuple(listed), lines.done_bytes)


def read_meta_header(path: Path) -> HeaderText:
    """The fields of a MetaImage header, which ends with ``ElementDataFile``.

    Raises:
        UnreadableVolume: if the file is no MetaImage, or its header does not end.
    """
    lines = _Lines(path)
    fields: dict[str, str] = {}
    for line in iter(lines.next, None):
        if not line.strip():
            continue
        name, sign, value = line.partition("=")
        if not sign:
            break
        _add(path, fields, name.strip().lower(), value.strip())
        if name.strip().lower() == "elementdatafile":
            break
    if "elementdatafile" not in fields:
        known = "ndims" in fields or "objecttype" in fields
        if known:
            raise unreadable(path, "its header ends before ElementDataFile")
        raise UnreadableVolume(f"'{path.name}' is not a MetaImage file though its name says so. Export it again.")
    size_bytes = lines.done_bytes
    listed: list[str] = []
    if is_list(fields["elementdatafile"]):
        listed = [line.strip() for line in iter(lines.next, None) if line.strip()]
    return HeaderText(fields, listed=tuple(listed), size_bytes=size_bytes)


def is_list(named: str) -> bool:
    """Whether a header says that the names of its data files follow it, one a line."""
    return _LIST.fullmatch(named) is not None


def sizes_of(path: Path, fields: Mapping[str, str], names: tuple[str, str], most: int) -> tuple[int, ...]:
    """Voxels along each axis.

    Args:
        path: of the header, for messages.
        fields: of the header.
        names: of the fields with the number of dimensions and with the sizes, as the format writes them.
        most: dimensions that the format allows.

    Raises:
        UnreadableVolume: if there are not as many sizes as dimensions, or one is below 1.
    """
    absent = next((name for name in names if name.lower() not in fields), None)
    if absent:
        raise unreadable(path, f"its header holds no field '{absent}'")
    count = int(fields[names[0].lower()])
    sizes = tuple(int(size) for size in fields[names[1].lower()].split())
    if not 0 < count <= most or len(sizes) != count or min(sizes) < 1:
        raise UnreadableVolume(
            f"'{path.name}' has {names[0]} {count} and {names[1]} {' '.join(map(str, sizes[:most]))}; as many "
            f"sizes from 1 as dimensions are needed, at most {most}. Its header is damaged; export it again."
        )
    return sizes


def _add(path: Path, fields: dict[str, str], name: str, value: str) -> None:
    """Keep a field; one that is there twice with two meanings is a damaged header, whichever a program takes."""
    name, value = printable(name), printable(value)
    if fields.setdefault(name, value) != value:
        raise unreadable(path, f"its header holds the field '{name[:40]}' twice, with '{fields[name][:40]}' first")


class _Lines:
    """Lines of a file's start without their ends; bytes that are no UTF-8 are replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._start = file.read(MAX_HEADER_BYTES)
        except OSError as error:
            raise unreadable(path, error.strerror or "cannot be opened") from None
        self.done_bytes = 0

    def next(self) -> str | None:
        """The next line, None after the last."""
        if self.done_bytes >= len(self._start):
            if self.done_bytes >= MAX_HEADER_BYTES:
                raise unreadable(self._path, f"its header does not end within {MAX_HEADER_BYTES} bytes")
            return None
        end = self._start.find(b"\n", self.done_bytes)
        end = len(self._start) if end < 0 else end
        line = self._start[self.done_bytes : end].rstrip(b"\r")
        self.done_bytes = end + 1
        return line.decode("utf-8", errors="replace")
