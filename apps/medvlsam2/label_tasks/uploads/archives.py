"""Unpacking of zip archives within limits. A scan stays below the limits; a zip bomb does not."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Final

from medvlsam2.errors import InvalidRequest, TooLarge

MAX_MEMBERS: Final = 10_000
"""Most files in one archive; the longest CT has a few thousand slices."""
MAX_BYTES: Final = 4 * 2**30
"""Most bytes of all unpacked files together: 2^31 voxels of two bytes, the largest volume that the readers take."""
MAX_RATIO: Final = 100
"""Largest ratio of unpacked to packed size; CT slices have 2 to 20."""
FREE_BYTES: Final = 64 * 2**20
"""Unpacked size up to which the ratio is not checked: an empty mask packs to almost nothing."""

_END: Final = b"PK\x05\x06"
_TAIL_BYTES: Final = 22 + 65_535
"""Bytes at the end of an archive: a record of 22 bytes and a comment of up to 65,535 bytes."""
_ENTRY_BYTES: Final = 46 + 400
"""Bytes of one file in the table of contents: 46 bytes, its name and its extra fields."""
_BLOCK_BYTES: Final = 1 << 20

Place = Callable[[str], Path | None]
"""Returns the path for a file of that name in the archive, or None to leave the file out."""


def unpack(archive: Path, place: Place) -> None:
    """Write the files of a zip archive.

    Args:
        archive: the file.
        place: returns the path for the name of a file in the archive, or None to leave the file out.

    Raises:
        InvalidRequest: if it is no zip archive, is encrypted or damaged, or holds a link or a name outside of it.
        TooLarge: if it holds too many files, or unpacks to too much.
    """
    _check_contents(archive)
    budget_bytes = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            for member in members:
                _check_member(member)
            for member in members:
                target = place(member.filename)
                if target is not None:
                    with packed.open(member) as source:
                        budget_bytes -= _write(source, target, budget_bytes)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError, RuntimeError) as error:
        raise InvalidRequest(f"The zip archive cannot be unpacked ({_reason(error)}). Pack the scan again.") from error


def _check_contents(archive: Path) -> None:
    """Check the size of the table of contents before the whole table is read."""
    with archive.open("rb") as stream:
        size_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size_bytes - _TAIL_BYTES))
        tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise InvalidRequest("The archive is no zip archive. Pack the scan as .zip.")
    count, table_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if count > MAX_MEMBERS or table_bytes > MAX_MEMBERS * _ENTRY_BYTES:
        raise TooLarge(f"The archive holds more than {MAX_MEMBERS} files. Pack one scan alone.")


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise InvalidRequest("The archive holds a name that leads out of it. Pack the folder of the scan itself.")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InvalidRequest("The archive holds a link or a device. Pack the files themselves.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidRequest("The archive is packed in a way that may need any memory. Pack it as an ordinary zip.")
    if member.flag_bits & 1:
        raise InvalidRequest("The archive is encrypted. Pack the scan without a password.")


def _write(source: IO[bytes], target: Path, budget_bytes: int) -> int:
    written_bytes = 0
    with target.open("xb") as file:
        while block := source.read(_BLOCK_BYTES):
            written_bytes += len(block)
            if written_bytes > budget_bytes:
                raise TooLarge(
                    f"The archive unpacks to more than {MAX_RATIO} times its size or {MAX_BYTES >> 30} GiB, which no "
                    "scan does. Send the scan itself."
                )
            file.write(block)
    return written_bytes


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
