"""Reader of MetaImage files, with the voxels in the same file (``.mha``) or in data files (``.mhd``).

ITK is not used (``header_text`` says why). The tests compare the result for every kind of header with ITK's result.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from medvlsam2 import geometry
from medvlsam2.data.reading import length_units
from medvlsam2.data.reading.formats import data_files
from medvlsam2.data.reading.formats.header_text import read_meta_header, sizes_of
from medvlsam2.data.reading.formats.voxel_stream import Encoding, StoredVoxels, read_voxels
from medvlsam2.data.reading.stored_array import (
    StoredArray,
    require_one_value,
    require_place,
    squeezed_shape,
    unread,
    unreadable,
)
from medvlsam2.errors import UnreadableVolume

MAX_DIMENSION: Final = 10
"""Largest number of dimensions that MetaIO, the format's own library, allows."""

LENGTH_TOLERANCE: Final = 0.01
"""Largest difference of a direction's length from 1; above it the user is warned. Rounding stays far below."""

_TYPES: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
"""Element types as numpy types. MetaIO writes a long as 4 bytes on every system."""
_SPACING: Final = ("elementspacing",)
_SIZE: Final = ("elementsize",)
"""Size of an element, used if the header has no spacing. An element may be smaller than the distance to the next."""
_ORIGIN: Final = ("offset", "origin", "position")
_MATRIX: Final = ("transformmatrix", "rotation", "orientation")
_BIG_ENDIAN: Final = ("binarydatabyteordermsb", "elementbyteordermsb")
_FROM: Final = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "I": (2, 1), "S": (2, -1)}
"""World axis and sign of each letter, in LPS. AnatomicalOrientation names the side where an axis STARTS: the axes of
``RAI`` run from right to left, from front to back and from feet to head."""


def read_metaimage(path: Path, max_ratio: float | None = None, *, geometry_only: bool = False) -> StoredArray:
    """Read one 3-D MetaImage.

    Args:
        path: ``.mha`` file, or ``.mhd`` file with its data files beside it.
        max_ratio: see :func:`medvlsam2.data.reading.formats.voxel_stream.read_voxels`.
        geometry_only: read the header alone: all voxels are 0 and take no memory.

    Raises:
        UnreadableVolume: if the file is no MetaImage file, damaged, truncated or not 3-D, or names data files outside
            its folder.
        VolumeTooLarge: if the volume does not fit the memory budget.
    """
    header = read_meta_header(path)
    fields = header.fields
    try:
        sizes = sizes_of(path, fields, ("NDims", "DimSize"), MAX_DIMENSION)
        require_one_value(path, int(fields.get("elementnumberofchannels", 1)))
        shape = squeezed_shape(path, sizes)
        affine, warnings = _placed(path, fields, len(sizes))
        header_bytes = int(fields.get("headersize", 0))
    except (ValueError, KeyError) as error:
        raise unreadable(path, error) from None
    local = fields["elementdatafile"].upper() == "LOCAL"
    if local and 0 < header_bytes < header.size_bytes:
        raise unreadable(path, f"its HeaderSize is {header_bytes}, but its header has {header.size_bytes} bytes")
    parts = data_files.meta_parts(path, header)
    data_files.require_even_parts(path, fields["elementdatafile"], parts, sizes)
    voxels = StoredVoxels(
        header=path,
        parts=parts,
        dtype=_dtype(path, fields),
        count=prod(shape),
        encoding=_encoding(fields),
        start_bytes=max(0, header_bytes) or (header.size_bytes if local else 0),
        skip_bytes=-1 if header_bytes < 0 else 0,
    )
    if geometry_only:
        values = unread(shape, voxels.dtype)
    else:
        values = read_voxels(voxels, max_ratio).reshape(shape, order="F")
    return StoredArray(values, affine, warnings=tuple(warnings))


def _placed(path: Path, fields: dict[str, str], dimension: int) -> tuple[Float[np.ndarray, "4 4"], list[str]]:
    """Return the affine (``_ijk`` to ``_ras`` mm), and warnings about fields that leave it uncertain."""
    warnings = []
    spacing = _numbers(fields, _SPACING, dimension)
    spacing = _numbers(fields, _SIZE, dimension) if spacing is None else spacing
    if spacing is None:
        warnings.append(length_units.NO_SPACING.format(format="The MetaImage"))
        spacing = np.ones(dimension)
    matrix = _numbers(fields, _MATRIX, dimension**2)
    directions = np.eye(dimension) if matrix is None else matrix.reshape(dimension, dimension).T
    lengths = np.linalg.norm(directions[:3, :3], axis=0)
    if np.abs(lengths - 1).max() > LENGTH_TOLERANCE:
        shown = " x ".join(f"{length:.4g}" for length in lengths)
        warnings.append(
            f"The MetaImage header's TransformMatrix has directions of length {shown}; length 1 is needed. The voxel "
            "sizes were multiplied by these lengths, as ITK does."
        )
    origin = _numbers(fields, _ORIGIN, dimension)
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = directions[:3, :3] * spacing[:3]
    affine_lps[:3, 3] = 0.0 if origin is None else origin[:3]
    require_place(path, affine_lps)
    warnings += _side_warnings(fields.get("anatomicalorientation", ""), affine_lps, has_matrix=matrix is not None)
    unit = fields.get("distanceunits", "")
    mm = length_units.mm_per_unit(unit)
    if mm is None:
        warnings.append(length_units.UNKNOWN_UNIT.format(format="The MetaImage", unit=unit[:20]))
    elif mm != 1:
        affine_lps[:3] *= mm
        warnings.append(length_units.CONVERTED.format(format="The MetaImage", unit=unit))
    return geometry.ras_to_lps_affine(affine_lps), warnings + _scale_warnings(fields)


def _side_warnings(letters: str, affine_lps: Float[np.ndarray, "4 4"], *, has_matrix: bool) -> list[str]:
    """Return a warning if the sides are not known, or if the letters and the matrix contradict each other.

    The matrix is used in each case, as ITK does.
    """
    lettered_axes = _axes_of_letters(letters.upper())
    if lettered_axes is None and has_matrix:
        return []
    if lettered_axes == geometry.closest_axes(affine_lps):
        return []
    lettered = f"says '{letters[:10]}' in AnatomicalOrientation but " if lettered_axes else ""
    why = lettered + ("another orientation in its TransformMatrix" if has_matrix else "holds no TransformMatrix")
    return [length_units.NO_SIDES.format(format="The MetaImage", why=why)]


def _axes_of_letters(letters: str) -> tuple[tuple[int, int], ...] | None:
    """Return the world axis and the sign of each array axis in LPS; None if the letters are no orientation."""
    axes = tuple(_FROM[letter] for letter in letters if letter in _FROM)
    whole = len(axes) == len(letters) == 3 and len({axis for axis, _ in axes}) == 3
    return axes if whole else None


def _scale_warnings(fields: dict[str, str]) -> list[str]:
    slope, offset = (
        float(fields.get(f"elementtointensityfunction{name}", default))
        for name, default in (("slope", 1.0), ("offset", 0.0))
    )
    if (slope, offset) == (1.0, 0.0):
        return []
    return [
        f"The MetaImage header asks for values times {slope:g} plus {offset:g}: the values were taken as stored, "
        "as ITK and 3D Slicer do."
    ]


def _numbers(fields: dict[str, str], keys: tuple[str, ...], count: int) -> Float[np.ndarray, " n"] | None:
    """Return the numbers of a field that may have several names; None if no name is present.

    Raises:
        ValueError: if a field does not hold ``count`` numbers, or two of the names hold different numbers.
    """
    found = [[float(word) for word in fields[key].split()] for key in keys if key in fields]
    if not found:
        return None
    if any(len(numbers) != count for numbers in found):
        raise ValueError(f"{count} numbers are needed in one of {', '.join(keys)}, not {len(found[0])}")
    if not np.allclose(found, found[0], equal_nan=True):
        raise ValueError(f"its fields {' and '.join(key for key in keys if key in fields)} say different things")
    return np.array(found[0], dtype=np.float64)


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype[Any]:
    given = fields.get("elementtype", "").upper()
    if given not in _TYPES:
        raise UnreadableVolume(
            f"'{path.name}' holds voxels of type '{given[:40]}'; integers and real numbers are allowed. "
            "Save a grey image instead."
        )
    orders = {_is_true(fields[key]) for key in _BIG_ENDIAN if key in fields}
    if len(orders) > 1:
        raise unreadable(path, f"its fields {' and '.join(_BIG_ENDIAN)} say different things")
    return np.dtype(_TYPES[given]).newbyteorder(">" if orders == {True} else "<")


def _encoding(fields: dict[str, str]) -> Encoding:
    if not _is_true(fields.get("binarydata", "True")):
        return Encoding.TEXT
    return Encoding.ZLIB if _is_true(fields.get("compresseddata", "False")) else Encoding.RAW


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "t")
