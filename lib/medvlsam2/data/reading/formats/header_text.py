"""The text headers of NRRD and MetaImage as fields, without a meaning yet.

They are read here and not by ITK or teem: a header of a few bytes ends a process inside those (a number of
dimensions, a ``%`` in a name). pynrrd drops every letter that is no ASCII from the names of segments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medvlsam2.data.reading.stored_array import unreadable
from medvlsam2.errors import UnreadableVolume

MAX_HEADER_BYTES: Final = 2**21
"""Much more than any header has: 33 segments of Slicer take 20 kB, private tags copied from DICOM some 100 kB."""

_NRRD_MARK: Final = "NRRD000"
_ESCAPED: Final = re.compile(r"\\(n|\\)")


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
        if fields.get("datafile", "").upper().startswith("LIST"):
            listed.append(line)
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise unreadable(path, f"the header's line '{line[:40]}' is no field")
        if value.startswith("="):
            pairs[name] = _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else "\\", value[1:])
        else:
            fields[name.lower().replace(" ", "")] = value.strip()
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
        fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            break
    if "elementdatafile" not in fields:
        known = "ndims" in fields or "objecttype" in fields
        if known:
            raise unreadable(path, "its header ends before ElementDataFile")
        raise UnreadableVolume(f"'{path.name}' is not a MetaImage file though its name says so. Export it again.")
    size_bytes = lines.done_bytes
    listed: list[str] = []
    if fields["elementdatafile"].upper().startswith("LIST"):
        listed = [line.strip() for line in iter(lines.next, None) if line.strip()]
    return HeaderText(fields, listed=tuple(listed), size_bytes=size_bytes)


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
