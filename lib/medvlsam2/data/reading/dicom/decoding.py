"""Decoding of compressed DICOM pixels by GDCM, in ONE child process for all files of a series.

GDCM receives copies of the files that hold only the pixels and their description. The copies hold no rescale (GDCM
would apply it), no MONOCHROME1 (GDCM would invert the pixels) and no name of a patient. If GDCM crashes, the child
process ends and the request gets an error; the server goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pydicom
from jaxtyping import Shaped
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from medvlsam2.data.reading.dicom import decode_child
from medvlsam2.data.reading.dicom.data_set import PARSE_ERRORS, damaged, read_data_set
from medvlsam2.data.reading.memory_budget import require_memory
from medvlsam2.errors import UnreadableVolume

BASE_MEMORY_BYTES: Final = 3 * 2**30
"""Address space of the child before the first file: interpreter and SimpleITK take 1.1 GiB (measured); with reserve."""
MEMORY_PER_PIXEL_BYTES: Final = 16
"""Further address space per pixel of a file: GDCM, ITK and numpy hold a copy each of up to 4 bytes, plus reserve."""
BASE_TIME_S: Final = 120
"""Time that the child may take to start, on a busy machine."""
TIME_PER_FILE_S: Final = 5
"""Time that the child may take per file. A slice of 512 x 512 takes 0.05 s; a busy machine may need much longer."""

_KEPT_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG")
_MULTI_FRAME_WORD: Final = "1.2.840.10008.5.1.4.1.1.7.3"
_MULTI_FRAME_BYTE: Final = "1.2.840.10008.5.1.4.1.1.7.2"
_SINGLE_FRAME: Final = "1.2.840.10008.5.1.4.1.1.7"
_DESCRIPTION: Final = (
    "SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "NumberOfFrames",
)  # fmt: skip
_MAX_LINE_BYTES: Final = 4096


def decoded_files(paths: Sequence[Path]) -> Generator[Shaped[np.ndarray, "frames rows columns"], None, None]:
    """Yield the stored pixels of each file in turn, before any rescale.

    Args:
        paths: compressed DICOM files with one grey value per pixel.

    Raises:
        UnreadableVolume: if a file cannot be decoded, or the decoder crashed.
    """
    with tempfile.TemporaryDirectory(prefix="medvlsam2-pixels-") as folder:
        promised = [_write_bare(path, Path(folder) / f"{number:06d}.dcm") for number, path in enumerate(paths)]
        memory_bytes = BASE_MEMORY_BYTES + MEMORY_PER_PIXEL_BYTES * max(promised)
        seconds = BASE_TIME_S + TIME_PER_FILE_S * len(paths)
        command = [sys.executable, "-I", decode_child.__file__, folder]
        command += [str(memory_bytes), str(seconds)]
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        ) as child:
            limit = threading.Timer(seconds, child.kill)
            limit.start()
            try:
                for path, count in zip(paths, promised, strict=True):
                    yield _received(path, child, count)
            finally:
                limit.cancel()
                child.kill()


def _write_bare(path: Path, copy: Path) -> int:
    """Write a copy that holds only the pixels and their description; return the number of pixels it promises."""
    try:
        source = read_data_set(path)
        frames = int(source.get("NumberOfFrames") or 1)
        count = frames * int(source.Rows) * int(source.Columns)
        require_memory(path.name, MEMORY_PER_PIXEL_BYTES * count, f"{count} compressed pixels")
        pydicom.dcmwrite(copy, _bare(source, frames, copy), write_like_original=False)
    except PARSE_ERRORS as error:
        raise damaged(path, f"its compressed pixels cannot be unpacked: {error}") from None
    return count


def _bare(source: Dataset, frames: int, copy: Path) -> FileDataset:
    """Return a data set with only the pixels of the source and their description."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    many = _MULTI_FRAME_BYTE if source.get("BitsAllocated") == 8 else _MULTI_FRAME_WORD
    meta.MediaStorageSOPClassUID = pydicom.uid.UID(many if frames > 1 else _SINGLE_FRAME)
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    bare = FileDataset(str(copy), Dataset(), file_meta=meta, preamble=bytes(128))
    bare.is_little_endian, bare.is_implicit_VR = True, False
    bare.SOPClassUID, bare.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    bare.PhotometricInterpretation = "MONOCHROME2"
    for name in _DESCRIPTION:
        if name in source:
            setattr(bare, name, source.get(name))
    bare.PixelData = source.PixelData
    bare["PixelData"].is_undefined_length = True
    bare["PixelData"].VR = "OB"
    return bare


def _received(path: Path, child: subprocess.Popen[bytes], promised: int) -> Shaped[np.ndarray, "frames rows columns"]:
    assert child.stdout is not None
    line = child.stdout.readline(_MAX_LINE_BYTES)
    facts: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    if "error" in facts:
        raise damaged(path, f"its compressed pixels cannot be decoded: {facts['error']}")
    if facts and len(facts["shape"]) == 4:
        raise UnreadableVolume(f"DICOM file '{path.name}' is a colour picture; a grey CT slice is needed.")
    if facts and prod(facts["shape"]) > promised:
        raise damaged(path, f"it decodes to {prod(facts['shape'])} pixels, but its header promises {promised}")
    pixels = _read_pixels(child.stdout, facts) if facts else None
    if pixels is None:
        raise damaged(path, f"its compressed pixels made the decoder crash: {_end_of(child)}")
    return pixels if pixels.ndim == 3 else pixels[np.newaxis]


def _read_pixels(stream: IO[bytes], facts: dict[str, Any]) -> Shaped[np.ndarray, "..."] | None:
    """Return the pixels that follow a line of facts; None if the child ended before it had sent all of them."""
    shape, dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
    content = stream.read(prod(shape) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(shape) if len(content) == prod(shape) * dtype.itemsize else None


def _end_of(child: subprocess.Popen[bytes]) -> str:
    code = child.wait()
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
