"""Reader of NRRD files, with the voxels in the same file or in data files; also of Slicer's ``.seg.nrrd``.

ITK is not used (``header_text`` says why). The tests compare the result for every kind of header with ITK's result.
"""

from __future__ import annotations

import re
import shlex
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float

from medvlsam2 import geometry, pixel_grid
from medvlsam2.data.placement import scan_affine
from medvlsam2.data.reading import length_units
from medvlsam2.data.reading.formats import data_files
from medvlsam2.data.reading.formats.header_text import HeaderText, read_nrrd_header, sizes_of
from medvlsam2.data.reading.formats.voxel_stream import Encoding, StoredVoxels, read_voxels
from medvlsam2.data.reading.stored_array import (
    StoredArray,
    require_numbers,
    require_one_value,
    require_place,
    squeezed_shape,
    unread,
    unreadable,
)
from medvlsam2.errors import UnreadableVolume

MAX_DIMENSION: Final = 16
"""Largest number of dimensions that the NRRD format allows."""

_TYPES: Final = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS: Final = {
    "raw": Encoding.RAW, "gzip": Encoding.GZIP, "gz": Encoding.GZIP, "bzip2": Encoding.BZIP2, "bz2": Encoding.BZIP2,
    "txt": Encoding.TEXT, "text": Encoding.TEXT, "ascii": Encoding.TEXT, "hex": Encoding.HEX,
}  # fmt: skip
_ORDERS: Final[dict[str, Literal["<", ">"]]] = {"little": "<", "big": ">"}

_TO_LPS: Final = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1.0, -1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1.0, -1.0)),
}
"""Signs of x and y that turn a patient space into LPS. In any other space left and right are not known."""
_RANGE_KINDS: Final = frozenset(("list", "vector", "point", "scalar", "stub", "rgb-color", "rgba-color", "complex"))
_VECTOR: Final = re.compile(r"none|\(([^()]*)\)", re.IGNORECASE)
_RANGE_ENDINGS: Final = ("-vector", "-color", "-matrix", "-normal", "-gradient", "-quaternion")


def read_nrrd(path: Path, max_ratio: float | None = None, *, geometry_only: bool = False) -> StoredArray:
    """Read one 3-D NRRD.

    Args:
        path: ``.nrrd`` file, or ``.nhdr`` file with its data files beside it.
        max_ratio: see :func:`medvlsam2.data.reading.formats.voxel_stream.read_voxels`.
        geometry_only: read the header alone: all voxels are 0 and take no memory.

    Raises:
        UnreadableVolume: if the file is no NRRD file, damaged, truncated or not 3-D, or names data files outside its
            folder.
        VolumeTooLarge: if the volume does not fit the memory budget.
    """
    header = read_nrrd_header(path)
    fields = header.fields
    try:
        sizes = sizes_of(path, fields, ("dimension", "sizes"), MAX_DIMENSION)
        axes = _domain_axes(path, fields, sizes)
        shape = squeezed_shape(path, tuple(sizes[axis] for axis in axes))
        affine, warnings = _placed(path, fields, axes[:3], sizes)
        without_units = {name: text for name, text in fields.items() if name not in ("units", "spaceunits")}
        shown, _ = _placed(path, without_units, axes[:3], sizes)
        line_skip, byte_skip = _skips(fields)
    except (ValueError, IndexError, KeyError) as error:
        raise unreadable(path, error) from None
    parts = data_files.nrrd_parts(path, header)
    data_files.require_even_parts(path, fields.get("datafile", ""), parts, sizes)
    voxels = StoredVoxels(
        header=path,
        parts=parts,
        dtype=_dtype(path, fields),
        count=prod(shape),
        encoding=_encoding(path, fields),
        start_bytes=0 if "datafile" in fields else header.size_bytes,
        skip_lines=line_skip,
        skip_bytes=byte_skip,
    )
    require_numbers(path, voxels.dtype)
    if geometry_only:
        values = unread(shape, voxels.dtype)
    else:
        values = read_voxels(voxels, max_ratio).reshape(shape, order="F")
    placed = scan_affine.shown_at(shown, affine, shape)
    return StoredArray(values, placed, _metadata(header), tuple(warnings))


def _skips(fields: dict[str, str]) -> tuple[int, int]:
    """Return the number of lines and bytes to skip; -1 bytes means that the voxels are the last bytes of the file."""
    lines, count = (int(fields.get(name, 0)) for name in ("lineskip", "byteskip"))
    if lines < 0 or count < -1:
        raise ValueError(f"its line skip is {lines} and its byte skip {count}, numbers from 0 are needed")
    return lines, count


def _domain_axes(path: Path, fields: dict[str, str], sizes: tuple[int, ...]) -> list[int]:
    """Return the numbers of the axes that lie in space, and refuse any other axis with more than one value."""
    kinds = fields.get("kinds", "").lower().split()
    ranges = {axis for axis, kind in enumerate(kinds) if _is_range(kind)}
    directions = _vectors(fields.get("spacedirections", ""))
    ranges |= {axis for axis, direction in enumerate(directions) if direction is None}
    require_one_value(path, prod(sizes[axis] for axis in ranges))
    return [axis for axis in range(len(sizes)) if axis not in ranges]


def _is_range(kind: str) -> bool:
    return kind in _RANGE_KINDS or kind.endswith(_RANGE_ENDINGS)


def _placed(
    path: Path, fields: dict[str, str], axes: list[int], sizes: tuple[int, ...]
) -> tuple[Float[np.ndarray, "4 4"], list[str]]:
    """Return the affine (``_ijk`` to ``_ras`` mm), and warnings about fields that leave it uncertain."""
    space = fields.get("space", "").lower()
    patient = space.removesuffix("-time") if space.endswith("-time") else space
    patient = patient[:-1] if patient in ("rast", "last", "lpst") else patient
    warnings = []
    if patient not in _TO_LPS:
        why = f"names the space '{space[:40]}', not a patient's" if space else "names no patient space"
        warnings.append(length_units.NO_SIDES.format(format="The NRRD", why=why))
    directions = _vectors(fields.get("spacedirections", ""))
    affine_lps = np.eye(4)
    if directions and len(directions) != len(sizes):
        raise ValueError(f"it has {len(directions)} space directions for {len(sizes)} axes")
    if directions:
        for column, axis in enumerate(axes):
            affine_lps[:3, column] = _three(directions[axis])
        origin = _vectors(fields.get("spaceorigin", ""))
        if origin and origin[0] is not None:
            affine_lps[:3, 3] = _three(origin[0])
        require_place(path, affine_lps)
        _as_itk_rounds(affine_lps)
    else:
        if patient in _TO_LPS:
            why = "names a patient space without directions"
            warnings.append(length_units.NO_SIDES.format(format="The NRRD", why=why))
        warnings += _placed_by_axes(affine_lps, fields, axes, sizes)
    require_place(path, affine_lps)
    warnings += _convert_units(affine_lps, fields, axes, by_space=bool(directions))
    for row, sign in enumerate(_TO_LPS.get(patient, ())):
        affine_lps[row] *= sign
    return geometry.ras_to_lps_affine(affine_lps), warnings


def _as_itk_rounds(affine_lps: Float[np.ndarray, "4 4"]) -> None:
    """Divide each direction into length and unit vector and multiply them again, in place.

    ITK does the same. The rounding of these two steps makes the affine equal to ITK's in its last bit.
    """
    for column in range(3):
        x, y, z = affine_lps[:3, column]
        size = np.sqrt(x * x + y * y + z * z)
        if size:
            affine_lps[:3, column] = affine_lps[:3, column] * (1.0 / size) * size


def _placed_by_axes(
    affine_lps: Float[np.ndarray, "4 4"], fields: dict[str, str], axes: list[int], sizes: tuple[int, ...]
) -> list[str]:
    """Fill the affine from the older fields with one number per axis; return warnings about missing fields.

    An axis starts at ``axismins``: at the centre of the first voxel if the samples are nodes, else at its edge.
    """
    spacings, lows, highs = (_numbers(fields.get(name, "")) for name in ("spacings", "axismins", "axismaxs"))
    centers = (fields.get("centers") or fields.get("centerings") or "").lower().split()
    missing = False
    for column, axis in enumerate(axes):
        at_node = axis < len(centers) and centers[axis] == "node"
        low, high = _number(lows, axis), _number(highs, axis)
        size = _number(spacings, axis)
        if size is None and low is not None and high is not None:
            size = (high - low) / max(1, sizes[axis] - at_node)
        missing |= not size
        size = size or 1.0
        affine_lps[column, column] = size
        if low is not None:
            affine_lps[column, 3] = low if at_node else low + pixel_grid.offset_of(0) * size
    return [length_units.NO_SPACING.format(format="The NRRD")] if missing else []


def _convert_units(
    affine_lps: Float[np.ndarray, "4 4"], fields: dict[str, str], axes: list[int], *, by_space: bool
) -> list[str]:
    """Convert the affine to mm in place, and return warnings about it."""
    units = shlex.split(fields.get("spaceunits" if by_space else "units", ""))
    units = units[:3] if by_space else [units[axis] for axis in axes if axis < len(units)]
    warnings: dict[str, None] = {}
    for row, unit in enumerate(units):
        mm = length_units.mm_per_unit(unit)
        if mm is None:
            warnings[length_units.UNKNOWN_UNIT.format(format="The NRRD", unit=unit[:20])] = None
        elif mm != 1:
            affine_lps[row] *= mm
            warnings[length_units.CONVERTED.format(format="The NRRD", unit=unit)] = None
    return list(warnings)


def _vectors(text: str) -> list[list[float] | None]:
    """Parse vectors such as ``(1,0,0) none (0,0,2)`` to lists of numbers; ``none`` becomes None."""
    if _VECTOR.sub("", text).strip():
        raise ValueError(f"'{text[:40]}' is no list of vectors")
    found = [match[1] for match in _VECTOR.finditer(text)]
    return [None if numbers is None else [float(number) for number in numbers.split(",")] for numbers in found]


def _three(vector: list[float] | None) -> list[float]:
    """Return the first three numbers of a vector: its part in space."""
    if vector is None or len(vector) < 3:
        raise ValueError("its space directions and origin need 3 numbers each")
    return vector[:3]


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def _number(numbers: list[float], axis: int) -> float | None:
    found = numbers[axis] if axis < len(numbers) else None
    return found if found is not None and np.isfinite(found) else None


def _encoding(path: Path, fields: dict[str, str]) -> Encoding:
    given = fields.get("encoding", "").lower()
    if given not in _ENCODINGS:
        raise UnreadableVolume(
            f"'{path.name}' has the encoding '{given[:40]}'; raw, gzip, bzip2, text and hex are allowed. "
            "Save it with gzip encoding."
        )
    return _ENCODINGS[given]


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype[Any]:
    given, order = fields.get("type", "").lower(), fields.get("endian", "").lower()
    if given not in _TYPES:
        raise UnreadableVolume(
            f"'{path.name}' holds voxels of type '{given[:40]}'; integers and real numbers are allowed. "
            "Save a grey image instead."
        )
    dtype = np.dtype(_TYPES[given])
    if dtype.itemsize == 1 or _encoding(path, fields) is Encoding.TEXT:
        return dtype
    if order not in _ORDERS:
        raise unreadable(path, f"its byte order (endian) is '{order[:20]}', little or big is needed")
    return dtype.newbyteorder(_ORDERS[order])


def _metadata(header: HeaderText) -> dict[str, str]:
    return dict(header.pairs)
