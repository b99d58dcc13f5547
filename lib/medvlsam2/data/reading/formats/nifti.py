"""Reader of NIfTI-1 and NIfTI-2 files. The first bytes decide about the version and the compression, not the name.

nibabel interprets the header. ITK is not used: ITK makes a sheared affine orthogonal without a warning, and fills a
truncated file with arbitrary values. nibabel receives the bytes of the header alone, because it would also decompress
the header's extensions, whatever their size is.
"""

from __future__ import annotations

import gzip
from math import prod
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from medvlsam2 import geometry
from medvlsam2.data.placement import nifti_place, scan_affine
from medvlsam2.data.reading import causes, length_units
from medvlsam2.data.reading.formats.voxel_stream import (
    STREAM_ERRORS,
    Encoding,
    StoredVoxels,
    read_voxels,
)
from medvlsam2.data.reading.stored_array import (
    StoredArray,
    require_numbers,
    require_place,
    squeezed_shape,
    unread,
    unreadable,
)
from medvlsam2.errors import UnreadableVolume

QFORM_TOLERANCE_MM: Final = 1.0
"""Largest distance between a corner of the volume by the sform and by the qform; above it the user is warned.

One millimetre is about one voxel of a CT."""
SIZE_TOLERANCE: Final = 0.01
"""Largest relative difference between the header's voxel sizes and those of its affine; above it the user is warned.

Rounding to single precision stays far below 1 %."""
MAX_OFFSET_BYTES: Final = 2**26
"""Largest offset of the voxels in bytes. The extensions before the voxels take some MB in real files."""

_HEADERS: Final[dict[int, Any]] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""Header classes by the first number of the file, which is their size in bytes."""
_PAIR_MAGIC: Final = (b"ni1", b"ni2")
_HEADER_ERRORS: Final = (*STREAM_ERRORS, ImageFileError, HeaderDataError)
_QFAC_VALUES: Final = (-1.0, 0.0, 1.0)
"""Allowed values of ``qfac``, the sign of the third axis; 0 stands for 1."""
_UNIT_NAMES: Final = {1: "metre", 3: "micron"}


def read_nifti(path: Path, max_ratio: float | None = None, *, geometry_only: bool = False) -> StoredArray:
    """Read one 3-D NIfTI.

    Args:
        path: the file.
        max_ratio: see :func:`medvlsam2.data.reading.formats.voxel_stream.read_voxels`.
        geometry_only: read the header alone: all voxels are 0 and take no memory.

    Raises:
        UnreadableVolume: if the file is no NIfTI file, damaged, truncated or not 3-D.
        VolumeTooLarge: if the volume does not fit the memory budget.
    """
    packed, block = _header_block(path)
    kind = _HEADERS[_header_size(block)]
    stored = kind(block, check=False)
    try:
        header = kind(block)
        shape = squeezed_shape(path, header.get_data_shape())
        dtype = header.get_data_dtype()
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        slope, inter = header.get_slope_inter()
        offset_bytes = int(header.get_data_offset())
    except _HEADER_ERRORS as error:
        raise unreadable(path, error) from None
    require_numbers(path, dtype)
    require_place(path, affine)
    if bytes(stored["magic"].item())[:3] in _PAIR_MAGIC:
        raise UnreadableVolume(
            f"'{path.name}' is the header of a NIfTI pair (.hdr and .img). Convert the pair to one .nii.gz file."
        )
    if not len(block) <= offset_bytes <= MAX_OFFSET_BYTES:
        raise unreadable(
            path, f"its voxels start at byte {offset_bytes}; {len(block)} to {MAX_OFFSET_BYTES} is allowed"
        )
    scaling = (1.0 if slope is None else float(slope), 0.0 if inter is None else float(inter))
    voxels = StoredVoxels(
        header=path,
        parts=(path,),
        dtype=dtype,
        count=prod(shape),
        encoding=Encoding.GZIP if packed else Encoding.RAW,
        skip_bytes=offset_bytes,
        scaled=scaling != (1.0, 0.0),
    )
    if geometry_only:
        values = unread(shape, dtype)
    else:
        values = apply_read_scaling(read_voxels(voxels, max_ratio), *scaling).reshape(shape, order="F")
    mm = nifti_place.mm_per_header_unit(stored)
    affine[:3] *= mm
    return StoredArray(
        values,
        scan_affine.of_nifti(stored, affine, shape),
        warnings=tuple(_warnings(header, stored, shape)),
        scaling=scaling,
    )


def is_first_version(path: Path) -> bool:
    """Return whether a NIfTI file is of version 1; ITK cannot read version 2.

    Raises:
        UnreadableVolume: if the file is no NIfTI file.
    """
    return len(_header_block(path)[1]) == min(_HEADERS)


def _header_block(path: Path) -> tuple[bool, bytes]:
    """Return whether the file is compressed, and the bytes of its header."""
    try:
        start = causes.first_bytes(path)
    except OSError as error:
        raise unreadable(path, error.strerror or error) from None
    packed = start.startswith(causes.GZIP_MARK)
    if packed:
        try:
            with gzip.open(path) as file:
                start = file.read(max(*_HEADERS, causes.START_BYTES))
        except STREAM_ERRORS as error:
            raise unreadable(path, error) from None
    else:
        with path.open("rb") as file:
            start = file.read(max(*_HEADERS, causes.START_BYTES))
    size = _header_size(start)
    if size in _HEADERS and len(start) >= size:
        return packed, start[:size]
    if size in _HEADERS or (packed and not start):
        raise unreadable(path, f"its header ends after {len(start)} bytes")
    foreign = "is compressed twice. Unpack it once." if packed and start[:2] == causes.GZIP_MARK else ""
    foreign = foreign or causes.foreign_content(start)
    inside = "holds, compressed, what " if packed else ""
    raise UnreadableVolume(
        f"'{path.name}' {inside}{foreign}"
        if foreign
        else f"'{path.name}' is not a NIfTI file though its name says so. Export it again."
    )


def _header_size(block: bytes) -> int:
    """Return the first number of the file, which is the size of a NIfTI header in one of the byte orders; else 0."""
    sizes = [int.from_bytes(block[:4], order) for order in ("little", "big")]
    return next((size for size in sizes if size in _HEADERS), 0)


def _warnings(header: nib.Nifti1Header, stored: nib.Nifti1Header, shape: tuple[int, int, int]) -> list[str]:
    """Return the warnings about sides, voxel sizes and units that are not certain.

    Args:
        header: the header with nibabel's corrections.
        stored: the header as it is in the file.
        shape: shape of the volume.
    """
    warnings = _field_warnings(header, stored)
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not sform and not qform:
        warnings.append(length_units.NO_SIDES.format(format="The NIfTI", why="holds no orientation"))
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)
    if not sform and not (np.isfinite(sizes) & (sizes != 0)).all():
        warnings.append(length_units.NO_SPACING.format(format="The NIfTI"))
    if sform and qform:
        forms = nifti_place.forms(header)
        gap_mm = _gap_mm(forms[0], forms[1], shape) * nifti_place.mm_per_header_unit(stored) if len(forms) == 2 else 0.0
        if len(forms) < 2 or not np.isfinite(gap_mm):
            warnings.append("The NIfTI header's qform is damaged: the sform is used.")
        elif gap_mm > QFORM_TOLERANCE_MM:
            warnings.append(f"The NIfTI header's sform and qform differ by up to {gap_mm:.1f} mm: the sform is used.")
    elif sform:
        warnings += _size_warnings(np.asarray(header.get_sform(), dtype=np.float64), sizes)
    unit = _UNIT_NAMES.get(int(stored["xyzt_units"]) & nifti_place.UNIT_OF_LENGTH)
    if unit:
        warnings.append(length_units.CONVERTED.format(format="The NIfTI", unit=unit))
    return warnings


def _field_warnings(header: nib.Nifti1Header, stored: nib.Nifti1Header) -> list[str]:
    """Return the warnings about values that the NIfTI standard does not allow; programs interpret them differently."""
    warnings = []
    for name in ("sform_code", "qform_code"):
        if int(header[name]) != int(stored[name]):
            warnings.append(f"The NIfTI header's {name} is {int(stored[name])}, an unknown code: it was taken as 0.")
    qfac = float(stored["pixdim"][0])
    by_qform = bool(int(header["qform_code"])) and not int(header["sform_code"])
    if by_qform and qfac not in _QFAC_VALUES:
        warnings.append(length_units.NO_SIDES.format(format="The NIfTI", why=f"has the qfac {qfac:g}, not 1 or -1"))
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        shown = " x ".join(f"{size:.4g}" for size in sizes)
        warnings.append(
            f"The NIfTI header's voxel size is {shown}; numbers above 0 are needed. 3D Slicer and ITK-SNAP may show "
            "the scan in another size, or mirrored."
        )
        if by_qform and (sizes < 0).any():
            warnings.append(length_units.NO_SIDES.format(format="The NIfTI", why="has a voxel size below 0"))
    slope, inter = float(stored["scl_slope"]), float(stored["scl_inter"])
    if slope == 0 and np.isfinite(inter) and inter:
        warnings.append(
            f"The NIfTI header has the intercept {inter:g} without a slope: values were taken as stored, as the "
            "standard says. 3D Slicer and ITK-SNAP add the intercept."
        )
    return warnings


def _gap_mm(first: Float[np.ndarray, "4 4"], second: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> float:
    """Return the largest distance between a corner of the volume by the first affine and by the second affine."""
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(shape) - 1)
    gaps = geometry.ijk_to_ras(corners, np.asarray(first, dtype=np.float64)) - geometry.ijk_to_ras(
        corners, np.asarray(second, dtype=np.float64)
    )
    return float(np.linalg.norm(gaps, axis=1).max())


def _size_warnings(sform: Float[np.ndarray, "4 4"], sizes: Float[np.ndarray, " 3"]) -> list[str]:
    used = np.array(geometry.spacing_mm(sform))
    if not (np.isfinite(sizes) & (sizes > 0)).all() or np.allclose(used, sizes, rtol=SIZE_TOLERANCE, atol=0):
        return []
    both = [" x ".join(f"{size:.4g}" for size in three) for three in (sizes, used)]
    return [f"The NIfTI header's voxel size is {both[0]}, that of its sform {both[1]}: the sform is used."]
