"""Reading of the data set of one DICOM file by pydicom, also of files without a preamble.

A deflated (compressed as a whole) file is decompressed here and not by pydicom: pydicom decompresses it without a
limit, and a file of 1 MB may become 1 GB.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medvlsam2.data.reading import causes
from medvlsam2.data.reading.dicom_mark import MARK, MARK_AT_BYTES, is_bare_data_set
from medvlsam2.errors import UnreadableVolume

PARSE_ERRORS: Final = (
    OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError, ArithmeticError,
    AssertionError, RecursionError, struct.error, zlib.error, InvalidDicomError, BytesLengthException,
)  # fmt: skip
"""Exceptions that pydicom raises on damaged files."""

MAX_DEFLATED_RATIO: Final = 200
"""Largest growth of a deflated file. A CT grows 2 to 4 times, a file of zeros about 1,000 times."""
_PIXEL_GROUP: Final = 0x7FE0
_META_LENGTH_BYTES: Final = 12
"""Size of the element that holds the length of the rest of the meta header."""


def read_data_set(path: Path, *, tags: Sequence[str] | None = None) -> Dataset:
    """Read a DICOM file.

    Args:
        path: the file.
        tags: keywords of the elements that are needed; pixels are then not read. None for all elements.

    Raises:
        UnreadableVolume: if the file is no DICOM file, damaged or truncated.
    """
    try:
        with path.open("rb") as file:
            start = file.read(causes.START_BYTES * 2)
        marked = start[MARK_AT_BYTES : MARK_AT_BYTES + len(MARK)] == MARK
        if not marked and not is_bare_data_set(start):
            raise _foreign(path, start)
        if marked and DeflatedExplicitVRLittleEndian.encode() in start:
            return _read_deflated(path, tags)
        wanted = None if tags is None else list(tags)
        return pydicom.dcmread(path, stop_before_pixels=tags is not None, specific_tags=wanted, force=not marked)
    except PARSE_ERRORS as error:
        raise damaged(path, str(error) or type(error).__name__) from None


def transfer_syntax(dataset: Dataset) -> str:
    """Return the transfer syntax UID (the encoding) of a data set; empty without a meta header."""
    meta = getattr(dataset, "file_meta", None)
    return "" if meta is None else str(meta.get("TransferSyntaxUID", ""))


def damaged(path: Path, reason: str) -> UnreadableVolume:
    """Return the error for a DICOM file that cannot be read.

    Args:
        path: the file.
        reason: technical cause, for a reader who can look into the file.
    """
    text = " ".join(causes.printable(reason).replace(str(path), path.name).split())[:120]
    return UnreadableVolume(
        f"DICOM file '{path.name}' is damaged or truncated ({text}). Send the series again, or remove the file."
    )


def _foreign(path: Path, start: bytes) -> UnreadableVolume:
    foreign = causes.foreign_content(start[: causes.START_BYTES])
    what = foreign or "is no DICOM file though its name says so. Send the series again, or remove the file."
    return UnreadableVolume(f"DICOM file '{path.name}' {what}")


def _read_deflated(path: Path, tags: Sequence[str] | None) -> Dataset:
    meta: FileMetaDataset = read_file_meta_info(path)
    first = MARK_AT_BYTES + len(MARK) + _META_LENGTH_BYTES + int(meta.FileMetaInformationGroupLength)
    packed = path.read_bytes()[first:]
    most = MAX_DEFLATED_RATIO * len(packed)
    engine = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    plain = engine.decompress(packed, most)
    if engine.unconsumed_tail and not engine.eof:
        raise damaged(path, f"it grows more than {MAX_DEFLATED_RATIO} times when it is unpacked")
    found = read_dataset(
        io.BytesIO(plain),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=None if tags is None else _is_pixels,
        specific_tags=None if tags is None else [pydicom.tag.Tag(tag) for tag in tags],
    )
    found.file_meta = meta
    found.is_implicit_VR, found.is_little_endian = False, True
    return found


def _is_pixels(tag: BaseTag, _: str | None, __: int) -> bool:
    return tag.group == _PIXEL_GROUP
