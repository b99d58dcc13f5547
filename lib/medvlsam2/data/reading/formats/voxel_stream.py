"""Reading of voxels from files in parts, and never more voxels than the header promises.

NIfTI, NRRD and MetaImage use this module for all encodings, so that every format has the same limits. The memory is
checked before it is allocated. A compressed stream is read only as far as the voxels go. A stream that holds more
than the promised voxels is refused.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped

from medvlsam2.data.reading.formats.data_files import absent_part
from medvlsam2.data.reading.memory_budget import HU_BYTES, require_memory
from medvlsam2.data.reading.stored_array import unreadable
from medvlsam2.errors import UnreadableVolume

READ_AT_ONCE_BYTES: Final = 2**24
"""Bytes per read (16 MiB). A read of a whole volume at once makes gzip take three times the volume's memory."""

MAX_DEFLATE_RATIO: Final = 1032
"""Most bytes that one byte of a deflated stream can become: a shorter file cannot hold its voxels."""

MAX_SCAN_RATIO: Final = 200.0
"""Largest ratio of a scan's size to its compressed size. 138 real scans have ratios of 1.4 to 6.8, zeros about 1,000.

The bound is not used for label maps: real label maps have ratios up to 800."""
RATIO_FROM_BYTES: Final = 2**26
"""Size of the voxels from which MAX_SCAN_RATIO holds. Smaller scans take little memory whatever their ratio is."""

MAX_TEXT_VOXELS: Final = 2**24
"""Most voxels that may be written as text. Each takes some 60 bytes of memory while it is read: 1 GiB in all."""

MAX_WORD_BYTES: Final = 64
"""Most bytes of one number in a text file, with the blanks beside it."""

STREAM_ERRORS: Final = (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error)


class Encoding(StrEnum):
    """How voxels are written."""

    RAW = "raw"
    GZIP = "gzip"
    ZLIB = "zlib"
    BZIP2 = "bzip2"
    TEXT = "text"
    HEX = "hex"


@dataclass(frozen=True)
class StoredVoxels:
    """Where the voxels of a scan are, and how they are written.

    Args:
        header: file that holds the header, for messages.
        parts: files with equal shares of the voxels, in order.
        dtype: type and byte order of one voxel.
        count: number of voxels in all parts.
        encoding: encoding of each part.
        start_bytes: where the encoded voxels start in each part.
        skip_lines: lines to skip after ``start_bytes``.
        skip_bytes: bytes to skip after decoding; -1 means that the voxels are the last bytes of the file.
        scaled: whether the caller will scale the values to real numbers, which takes 8 bytes per voxel.
    """

    header: Path
    parts: tuple[Path, ...]
    dtype: np.dtype[Any]
    count: int
    encoding: Encoding = Encoding.RAW
    start_bytes: int = 0
    skip_lines: int = 0
    skip_bytes: int = 0
    scaled: bool = False

    @property
    def size_bytes(self) -> int:
        """Size of all voxels as stored."""
        return self.count * self.dtype.itemsize


def read_voxels(voxels: StoredVoxels, max_ratio: float | None = None) -> Shaped[np.ndarray, " n"]:
    """Return all voxels in the order of the file.

    Args:
        voxels: where the voxels are.
        max_ratio: largest ratio of the voxels' size to the compressed size, for voxels of at least RATIO_FROM_BYTES;
            None for no bound.

    Raises:
        UnreadableVolume: if the files are shorter than their header promises, or a compressed file is longer.
        VolumeTooLarge: if the voxels do not fit the memory budget.
    """
    absent = absent_part(voxels.parts)
    if absent:
        raise UnreadableVolume(f"'{voxels.header.name}' {absent}")
    try:
        _require_size(voxels, max_ratio)
        if voxels.encoding in (Encoding.TEXT, Encoding.HEX):
            return _read_text(voxels)
        stored = np.empty(voxels.count, dtype=voxels.dtype)
        room = stored.view(np.uint8).data
        share = len(room) // len(voxels.parts)
        for number, part in enumerate(voxels.parts):
            with _decoded(voxels, part, share) as file:
                _fill(room[number * share : (number + 1) * share], file)
                if voxels.encoding is not Encoding.RAW:
                    _require_end(voxels, file)
    except STREAM_ERRORS as error:
        raise unreadable(voxels.header, _in_words(error)) from None
    return stored


def _in_words(error: BaseException) -> BaseException | str:
    """Return the system's reason for a failed open without the path, which the error's own text holds."""
    reason = getattr(error, "strerror", None)
    return str(reason) if reason else error


def _require_size(voxels: StoredVoxels, max_ratio: float | None) -> None:
    why = f"{voxels.count} voxels of type {voxels.dtype.name}"
    scaled_bytes = 8 * voxels.count if voxels.scaled else 0
    require_memory(voxels.header.name, voxels.size_bytes + HU_BYTES * voxels.count + scaled_bytes, why)
    there = sum(max(0, part.stat().st_size - voxels.start_bytes) for part in voxels.parts)
    most = {Encoding.RAW: 1, Encoding.GZIP: MAX_DEFLATE_RATIO, Encoding.ZLIB: MAX_DEFLATE_RATIO}.get(voxels.encoding)
    if most is not None and there * most < voxels.size_bytes:
        raise OSError(f"Expected {voxels.size_bytes} bytes, got at most {there * most}")
    packed = voxels.encoding in (Encoding.GZIP, Encoding.ZLIB, Encoding.BZIP2)
    if packed and max_ratio and voxels.size_bytes >= RATIO_FROM_BYTES and there * max_ratio < voxels.size_bytes:
        raise UnreadableVolume(
            f"'{voxels.header.name}' holds {there} bytes for {voxels.size_bytes} bytes of voxels, a ratio of "
            f"{voxels.size_bytes / max(1, there):.0f}; at most {max_ratio:.0f} is allowed, because no CT compresses "
            "so well. Export it again."
        )


@contextmanager
def _decoded(voxels: StoredVoxels, part: Path, size_bytes: int) -> Iterator[io.BufferedIOBase]:
    """Yield a stream with the decoded bytes of one part, at its first voxel."""
    with part.open("rb") as file:
        start = voxels.start_bytes
        if voxels.skip_bytes < 0:
            start = part.stat().st_size - size_bytes
        file.seek(start)
        for _ in range(voxels.skip_lines):
            if not file.readline(READ_AT_ONCE_BYTES):
                break
        decoded: io.BufferedIOBase = file
        if voxels.encoding is Encoding.GZIP:
            decoded = gzip.GzipFile(fileobj=file)
        elif voxels.encoding is Encoding.ZLIB:
            decoded = io.BufferedReader(ZlibFile(file))
        elif voxels.encoding is Encoding.BZIP2:
            decoded = bz2.BZ2File(file)
        _pass_over(decoded, max(0, voxels.skip_bytes))
        yield decoded


class ZlibFile(io.RawIOBase):
    """A zlib or gzip stream that is decompressed only as far as the reader asks."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def readinto(self, room: Any) -> int:
        """Fill the buffer or a part of it, and return the number of bytes; 0 at the end of the stream."""
        while not self._engine.eof:
            packed = self._engine.unconsumed_tail or self._file.read(READ_AT_ONCE_BYTES)
            plain = self._engine.decompress(packed, len(room))
            if plain:
                room[: len(plain)] = plain
                return len(plain)
            if not packed:
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return 0


def _pass_over(file: io.BufferedIOBase, count: int) -> None:
    while count:
        passed = len(file.read(min(count, READ_AT_ONCE_BYTES)))
        if not passed:
            raise EOFError("the file ends before its voxels begin")
        count -= passed


def _fill(room: memoryview, file: io.BufferedIOBase) -> None:
    done = 0
    while done < len(room):
        count = file.readinto(room[done : done + READ_AT_ONCE_BYTES])
        if not count:
            raise OSError(f"Expected {len(room)} bytes, got {done}")
        done += count


def _require_end(voxels: StoredVoxels, file: io.BufferedIOBase) -> None:
    """Refuse a stream that holds more voxels than the header says; at most one more byte is decompressed."""
    try:
        more = file.read(1)
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" not in str(error):
            raise
        return  # bytes after the end of the gzip stream: the gzip program ignores them too
    if more:
        raise UnreadableVolume(
            f"'{voxels.header.name}' holds more voxels than its header says ({voxels.count}). "
            "Its header is damaged; export it again."
        )


def _read_text(voxels: StoredVoxels) -> Shaped[np.ndarray, " n"]:
    if voxels.count > MAX_TEXT_VOXELS:
        raise UnreadableVolume(
            f"'{voxels.header.name}' holds {voxels.count} voxels as text; at most {MAX_TEXT_VOXELS} are allowed. "
            "Save it with raw or gzip encoding."
        )
    share = voxels.count // len(voxels.parts)
    return np.concatenate([_text_part(voxels, part, share) for part in voxels.parts])


def _text_part(voxels: StoredVoxels, part: Path, count: int) -> Shaped[np.ndarray, " n"]:
    """Return the voxels of one file that holds them as text."""
    with _decoded(voxels, part, 0) as file:
        content = file.read(count * MAX_WORD_BYTES)
    if voxels.encoding is Encoding.HEX:
        plain, needed = bytes.fromhex(content.decode("ascii")), count * voxels.dtype.itemsize
        if len(plain) < needed:
            raise OSError(f"Expected {needed} bytes, got {len(plain)}")
        return np.frombuffer(plain[:needed], voxels.dtype).copy()
    numbers = content.replace(b",", b" ").split()[:count]
    if len(numbers) < count:
        raise OSError(f"Expected {count} numbers, got {len(numbers)}")
    return np.array(numbers).astype(np.float64).astype(voxels.dtype)
