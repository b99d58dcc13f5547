"""Hounsfield units of DICOM slices: stored value times slope plus intercept, with padding as air.

numpy takes uncompressed pixels from the file; ``decoding`` decodes compressed pixels. Three rules of DICOM:

* The rescale applies to stored values. MONOCHROME1 only tells a viewer how to show them, so no value is inverted.
* The unused bits of a stored word are undefined, so they are removed.
* The padding value is compared with the whole word, before the unused bits are removed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int16, Integer, Num, Shaped
from pydicom.dataset import Dataset
from pydicom.pixel_data_handlers.util import apply_modality_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medvlsam2.data.reading.dicom.data_set import PARSE_ERRORS, damaged, read_data_set, transfer_syntax
from medvlsam2.data.reading.dicom.decoding import decoded_files
from medvlsam2.data.reading.dicom.headers import SliceHeader
from medvlsam2.data.reading.memory_budget import HU_BYTES, require_memory
from medvlsam2.data.reading.stored_array import squeezed_shape
from medvlsam2.data.volume import HU_MAX, HU_MIN
from medvlsam2.errors import UnreadableVolume

_PLAIN_SYNTAXES: Final = frozenset(
    (
        ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
        "1.2.840.113619.5.2",
    )
)  # fmt: skip
"""Transfer syntaxes whose pixels are not compressed; the last one is GE's own, with big-endian pixels."""
_GE_BIG_ENDIAN_PIXELS: Final = "1.2.840.113619.5.2"
_ITEM: Final = bytes.fromhex("feff00e0")
_GREY: Final = frozenset(("MONOCHROME1", "MONOCHROME2", ""))
_FILE_COPIES: Final = 2
"""Copies of a file in memory at one time: its content, and the words or values that are made from it."""


def hu_of_slices(name: Path, slices: Sequence[SliceHeader]) -> Int16[np.ndarray, "i j k"]:
    """Return the Hounsfield units of all slices, rounded, in ``_ijk`` order (column, row, slice).

    Args:
        name: path that the user gave, for messages.
        slices: headers of the slices of one stack, in the order of the result.

    Raises:
        UnreadableVolume: if a file is damaged, truncated or in colour.
        VolumeTooLarge: if the volume does not fit the memory budget.
    """
    rows, columns = slices[0].rows_columns
    squeezed_shape(name, (columns, rows, len(slices)))
    paths = list(dict.fromkeys(header.path for header in slices))
    largest = max(path.stat().st_size for path in paths)
    needed = HU_BYTES * rows * columns * len(slices) + _FILE_COPIES * largest
    require_memory(name.name, needed, f"{len(slices)} slices of {columns} x {rows}")
    places: dict[Path, list[tuple[int, SliceHeader]]] = {path: [] for path in paths}
    for number, header in enumerate(slices):
        places[header.path].append((number, header))
    hu = np.empty((len(slices), rows, columns), dtype=np.int16)
    with closing(_words_of_files(paths)) as files:
        for path, dataset, words in files:
            for number, header in places[path]:
                if words.shape[1:] != (rows, columns) or len(words) <= header.frame:
                    raise UnreadableVolume(
                        f"DICOM file '{path.name}' holds pixels of shape {words.shape} (frames, rows, columns), but "
                        f"its header promises {rows} rows and {columns} columns. Send the series again."
                    )
                try:
                    hu[number] = _hu(words[header.frame], dataset, header)
                except PARSE_ERRORS as error:
                    raise damaged(path, str(error)) from None
    return hu.T


def _words_of_files(
    paths: Sequence[Path],
) -> Generator[tuple[Path, Dataset, Shaped[np.ndarray, "frames rows columns"]], None, None]:
    """Yield each file with the data set that describes its pixels, and the pixels as stored words.

    Uncompressed files come first; compressed files follow, decoded by one child process.
    """
    compressed: list[tuple[Path, Dataset]] = []
    for path in paths:
        dataset = read_data_set(path)
        if _has_compressed_pixels(path, dataset):
            del dataset.PixelData
            compressed.append((path, dataset))
        else:
            yield path, dataset, _plain_words(path, dataset)
    if not compressed:
        return
    with closing(decoded_files([path for path, _ in compressed])) as decoded:
        for (path, dataset), words in zip(compressed, decoded, strict=True):
            bits = 8 * words.dtype.itemsize
            dataset.BitsStored, dataset.HighBit = bits, bits - 1
            dataset.PixelRepresentation = int(words.dtype.kind == "i")
            yield path, dataset, words


def _has_compressed_pixels(path: Path, dataset: Dataset) -> bool:
    """Return whether the grey pixels of a file are compressed.

    pydicom parses each field only when it is used, so a damaged field raises an error here.
    """
    try:
        _require_grey(path, dataset)
        if "PixelData" not in dataset:
            raise damaged(path, "it holds no pixels")
        return _is_compressed(dataset)
    except PARSE_ERRORS as error:
        raise damaged(path, str(error)) from None


def _require_grey(path: Path, dataset: Dataset) -> None:
    colour = int(dataset.get("SamplesPerPixel") or 1) != 1
    if colour or str(dataset.get("PhotometricInterpretation") or "") not in _GREY:
        raise UnreadableVolume(f"DICOM file '{path.name}' is a colour picture; a grey CT slice is needed.")


def _is_compressed(dataset: Dataset) -> bool:
    """Return whether the pixels are stored in items, as compressed pixels are; the transfer syntax may be wrong."""
    if dataset["PixelData"].is_undefined_length:
        return True
    syntax = transfer_syntax(dataset)
    return bool(syntax) and syntax not in _PLAIN_SYNTAXES and dataset.PixelData.startswith(_ITEM)


def _plain_words(path: Path, dataset: Dataset) -> Shaped[np.ndarray, "frames rows columns"]:
    """Return uncompressed pixels as unsigned words of BitsAllocated."""
    try:
        bits = int(dataset.get("BitsAllocated") or 0)
        if bits not in (8, 16, 32):
            raise ValueError(f"its pixels take {bits} bits each; 8, 16 and 32 are allowed")
        big = transfer_syntax(dataset) == _GE_BIG_ENDIAN_PIXELS or not dataset.is_little_endian
        dtype = np.dtype(f"u{bits // 8}").newbyteorder(">" if big else "<")
        shape = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        count = shape[0] * shape[1] * shape[2]
        content: bytes = dataset.PixelData
        if len(content) < count * dtype.itemsize:
            raise ValueError(f"it holds {len(content)} bytes of pixels; {count * dtype.itemsize} are promised")
        words: np.ndarray[Any, Any] = np.frombuffer(content, dtype, count).reshape(shape)
        return words
    except PARSE_ERRORS as error:
        raise damaged(path, str(error)) from None


def _hu(
    words: Num[np.ndarray, "rows columns"], dataset: Dataset, header: SliceHeader
) -> Int16[np.ndarray, "rows columns"]:
    """Return the Hounsfield units of one slice, clipped to int16."""
    stored = _stored_values(words, dataset)
    if header.rescale is None and "ModalityLUTSequence" in dataset:
        values = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    else:
        values = _rescaled(stored, header.rescale or _rescale_of(dataset))
    limits = np.iinfo(np.int16)
    rounded = np.rint(values) if values.dtype.kind == "f" else values
    hu: np.ndarray[Any, Any] = np.clip(rounded, limits.min, limits.max).astype(np.int16)
    if header.modality == "CT":
        hu[_padding(words, dataset, hu)] = HU_MIN
    return hu


def _rescale_of(dataset: Dataset) -> tuple[float, float]:
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return float(1.0 if slope is None else slope), float(0.0 if intercept is None else intercept)


def _rescaled(
    stored: Integer[np.ndarray, "rows columns"], rescale: tuple[float, float]
) -> Num[np.ndarray, "rows columns"]:
    """Return the stored values times slope plus intercept.

    The result has an integer type if slope and intercept are whole numbers. A slope of 0 is used as 1, as GDCM does.
    """
    slope, intercept = rescale[0] or 1.0, rescale[1]
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise ValueError(f"its rescale slope and intercept are {slope} and {intercept}; finite numbers are needed")
    if not (slope.is_integer() and intercept.is_integer()):
        return stored * slope + intercept
    # 2**16 (stored) * 2**14 (slope) + 2**29 (intercept) stays below 2**31, so 32 bits hold the result.
    small = stored.dtype.itemsize <= 2 and abs(slope) < 2**14 and abs(intercept) < 2**29
    whole: np.ndarray[Any, Any] = stored.astype(np.int32 if small else np.int64)
    return whole * int(slope) + int(intercept)


def _stored_values(words: Num[np.ndarray, "rows columns"], dataset: Dataset) -> Integer[np.ndarray, "rows columns"]:
    """Return the number that the used bits of each word stand for (BitsStored, HighBit, PixelRepresentation)."""
    allocated = 8 * words.dtype.itemsize
    used = int(dataset.get("BitsStored") or allocated)
    used = used if 0 < used <= allocated else allocated
    high = dataset.get("HighBit")
    shift = max(0, (used if high is None else int(high) + 1) - used)
    signed = bool(int(dataset.get("PixelRepresentation") or 0))
    if used == allocated and not shift:
        return words.view(words.dtype.str.replace("u", "i")) if signed else words
    values: np.ndarray[Any, Any] = (words.astype(np.int64) >> shift) & ((1 << used) - 1)
    return values - ((values >> (used - 1)) << used) if signed else values


def _padding(
    words: Num[np.ndarray, "rows columns"], dataset: Dataset, hu: Int16[np.ndarray, "rows columns"]
) -> Bool[np.ndarray, "rows columns"]:
    """Return a mask of the padding: the pixels that the scanner filled in outside its field of view.

    Some files give 0 as the padding value and hold 0 HU inside the body too. So pixels with a padding value that
    tissue can have are padding only if they are connected with the edge of the picture.
    """
    value = _as_integer(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(words.shape, dtype=bool)
    limit = _as_integer(dataset.get("PixelPaddingRangeLimit"))
    signed = bool(int(dataset.get("PixelRepresentation") or 0))
    whole = words.astype(np.int64)
    bits = 8 * words.dtype.itemsize
    first, last = (_wrapped(number, bits, signed=signed) for number in (value, value if limit is None else limit))
    if signed:
        whole = _wrapped(whole, bits, signed=True)
    padding = (whole >= min(first, last)) & (whole <= max(first, last))
    return padding & _reaches_edge(padding, hu)


def _wrapped(number: Any, bits: int, *, signed: bool) -> Any:
    """Return the number that a word of ``bits`` bits holds, e.g. -2000 for 63536 in a signed word of 16 bits."""
    word = number & ((1 << bits) - 1)
    return word - ((word >> (bits - 1)) << bits) if signed else word


def _reaches_edge(
    padding: Bool[np.ndarray, "rows columns"], hu: Int16[np.ndarray, "rows columns"]
) -> Bool[np.ndarray, "rows columns"]:
    """Return a mask of pixels that have an HU of no tissue, or that padding connects with the edge of the picture."""
    beyond = (hu <= HU_MIN) | (hu >= HU_MAX)
    if (beyond | ~padding).all():
        return beyond
    from scipy import ndimage

    regions, _ = ndimage.label(padding)
    edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    return beyond | np.isin(regions, edge[edge > 0])


def _as_integer(value: Any) -> int | None:
    """Return a value of type US or SS as an integer; pydicom leaves bytes if the file does not say which type."""
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return None if value is None or value == "" else int(value)
