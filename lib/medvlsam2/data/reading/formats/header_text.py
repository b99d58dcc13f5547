"""Parsing of the text headers of NRRD and MetaImage files into fields; the formats' readers interpret the fields.

ITK and teem do not read these headers here, because a header of a few bytes can crash them and with them the process
(a wrong number of dimensions, a ``%`` in a name). pynrrd is not used because it drops every non-ASCII letter from the
names of segments.
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
"""Largest header. Real headers are much smaller: 33 segments of 3D Slicer take 20 kB, copied DICOM tags some 100 kB."""

_NRRD_MARK: Final = "NRRD000"
_ESCAPED: Final = re.compile(r"\\(n|\\)")
_LIST: Final = re.compile(r"LIST(?:\s+\d+D?)?", re.IGNORECASE)
"""``LIST``, or ``LIST 2D`` with the number of dimensions of each file."""


@dataclass(frozen=True)
class HeaderText:
    """Fields of one header.

    Args:
        fields: values by field name; names are in lower case without blanks, e.g. ``spacedirections``.
        pairs: key/value pairs of a NRRD header; the case of the keys is kept.
        listed: names of data files that follow ``LIST``, one per line.
        size_bytes: size of the header, which is where the voxels start if they are in the same file.
    """

    fields: dict[str, str]
    pairs: dict[str, str] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    size_bytes: int = 0


def read_nrrd_header(path: Path) -> HeaderText:
    """Return the fields of a NRRD header. The header ends at the first empty line or at the end of the file.

    Raises:
        UnreadableVolume: if the file is no NRRD file, or the header does not end within MAX_HEADER_BYTES.
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
            raise unreadable(path, f"the header's line '{line[:40]}' is not of the form 'name: value'")
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
    """Return whether the value of a header's data file field announces a list of file names, one per line."""
    return _LIST.fullmatch(named) is not None


def sizes_of(path: Path, fields: Mapping[str, str], names: tuple[str, str], most: int) -> tuple[int, ...]:
    """Return the number of voxels along each axis.

    Args:
        path: path of the header, for messages.
        fields: fields of the header.
        names: names of the two fields that hold the number of dimensions and the sizes, as the format writes them.
        most: largest number of dimensions that the format allows.

    Raises:
        UnreadableVolume: if a field is absent, the number of sizes is not the number of dimensions, or a size is
            below 1.
    """
    absent = next((name for name in names if name.lower() not in fields), None)
    if absent:
        raise unreadable(path, f"its header holds no field '{absent}'")
    count = int(fields[names[0].lower()])
    sizes = tuple(int(size) for size in fields[names[1].lower()].split())
    if not 0 < count <= most or len(sizes) != count or min(sizes) < 1:
        raise UnreadableVolume(
            f"'{path.name}' has {names[0]} {count} and {names[1]} {' '.join(map(str, sizes[:most]))}; one size of at "
            f"least 1 per dimension is needed, at most {most}. Its header is damaged; export it again."
        )
    return sizes


def _add(path: Path, fields: dict[str, str], name: str, value: str) -> None:
    """Add a field. A field that occurs twice with different values is refused: programs differ in which they use."""
    name, value = printable(name), printable(value)
    if fields.setdefault(name, value) != value:
        raise unreadable(
            path, f"its header holds the field '{name[:40]}' twice with different values, first '{fields[name][:40]}'"
        )


class _Lines:
    """The first lines of a file, without line ends; bytes that are not UTF-8 become U+FFFD."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._start = file.read(MAX_HEADER_BYTES)
        except OSError as error:
            raise unreadable(path, error.strerror or "cannot be opened") from None
        self.done_bytes = 0

    def next(self) -> str | None:
        """Return the next line, or None after the last line."""
        if self.done_bytes >= len(self._start):
            if self.done_bytes >= MAX_HEADER_BYTES:
                raise unreadable(self._path, f"its header does not end within {MAX_HEADER_BYTES} bytes")
            return None
        end = self._start.find(b"\n", self.done_bytes)
        end = len(self._start) if end < 0 else end
        line = self._start[self.done_bytes : end].rstrip(b"\r")
        self.done_bytes = end + 1
        return line.decode("utf-8", errors="replace")
