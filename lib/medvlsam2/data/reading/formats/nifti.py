"""NIfTI-1 and NIfTI-2 in one file, compressed or not: its first bytes decide, not its name.

nibabel understands the header, because ITK makes a sheared affine orthogonal without saying so and fills a truncated
file with garbage. It gets the bytes of the header alone: it would unpack a header's extensions of any size.
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
"""How far a NIfTI's two orientations may place one corner of the volume apart before the user is told."""
SIZE_TOLERANCE: Final = 0.01
"""Share by which the voxel sizes of the header and of its affine may differ before the user is told."""
MAX_OFFSET_BYTES: Final = 2**26
"""Where the voxels may start at the latest: extensions of real files take some MB."""

_HEADERS: Final[dict[int, Any]] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""Header classes by the first number of the file, which is their size in bytes."""
_PAIR_MAGIC: Final = (b"ni1", b"ni2")
_HEADER_ERRORS: Final = (*STREAM_ERRORS, ImageFileError, HeaderDataError)
_TURNS: Final = (-1.0, 0.0, 1.0)
"""What ``qfac`` may be; 0 stands for 1."""
_UNIT_NAMES: Final = {1: "metre", 3: "micron"}


def read_nifti(path: Path, max_ratio: float | None = None, *, geometry_only: bool = False) -> StoredArray:
    """Read one 3-D NIfTI.

    Args:
        path: the file.
        max_ratio: see :func:`medvlsam2.data.reading.formats.voxel_stream.read_voxels`.
        geometry_only: leave the voxels unread: all are 0, and take no memory.

    Raises:
        UnreadableVolume: if it is no NIfTI, damaged, truncated or not 3-D.
        VolumeTooLarge: if it does not fit the memory budget.
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
            path, f"its voxels start at byte {offset_bytes}, {len(block)} to {MAX_OFFSET_BYTES} is allowed"
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
    mm = nifti_place.mm_per_unit(stored)
    affine[:3] *= mm
    return StoredArray(
        values,
        scan_affine.of_nifti(stored, affine, shape),
        warnings=tuple(_warnings(header, stored, shape)),
        scaling=scaling,
    )


def is_first_version(path: Path) -> bool:
    """Whether a file that is a NIfTI is of version 1: ITK does not know version 2.

    Raises:
        UnreadableVolume: if it is no NIfTI.
    """
    return len(_header_block(path)[1]) == min(_HEADERS)


def _header_block(path: Path) -> tuple[bool, bytes]:
    """Whether the file is compressed, and the bytes of its header."""
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
    """The first number of the file, in whichever byte order is one of a header; 0 for neither."""
    sizes = [int.from_bytes(block[:4], order) for order in ("little", "big")]
    return next((size for size in sizes if size in _HEADERS), 0)


def _warnings(header: nib.Nifti1Header, stored: nib.Nifti1Header, shape: tuple[int, int, int]) -> list[str]:
    """Say where sides, sizes or units are not certain.

    Args:
        header: as nibabel mended it.
        stored: as it is in the file.
        shape: of the volume.
    """
    told = _field_warnings(header, stored)
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not sform and not qform:
        told.append(length_units.NO_SIDES.format(format="The NIfTI", why="holds no orientation"))
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)
    if not sform and not (np.isfinite(sizes) & (sizes != 0)).all():
        told.append(length_units.NO_SPACING.format(format="The NIfTI"))
    if sform and qform:
        forms = nifti_place.forms(header)
        gap_mm = _gap_mm(forms[0], forms[1], shape) * nifti_place.mm_per_unit(stored) if len(forms) == 2 else 0.0
        if len(forms) < 2 or not np.isfinite(gap_mm):
            told.append("The NIfTI header's qform is damaged: the sform is used.")
        elif gap_mm > QFORM_TOLERANCE_MM:
            told.append(f"The NIfTI header's sform and qform differ by up to {gap_mm:.1f} mm: the sform is used.")
    elif sform:
        told += _size_warnings(np.asarray(header.get_sform(), dtype=np.float64), sizes)
    unit = _UNIT_NAMES.get(int(stored["xyzt_units"]) & nifti_place.UNIT_OF_LENGTH)
    if unit:
        told.append(length_units.CONVERTED.format(format="The NIfTI", unit=unit))
    return told


def _field_warnings(header: nib.Nifti1Header, stored: nib.Nifti1Header) -> list[str]:
    """Say where a field holds what the standard does not allow, so that programs understand it in different ways."""
    told = []
    for name in ("sform_code", "qform_code"):
        if int(header[name]) != int(stored[name]):
            told.append(f"The NIfTI header's {name} is {int(stored[name])}, an unknown one: it was taken as 0.")
    turn = float(stored["pixdim"][0])
    by_qform = bool(int(header["qform_code"])) and not int(header["sform_code"])
    if by_qform and turn not in _TURNS:
        told.append(length_units.NO_SIDES.format(format="The NIfTI", why=f"has the qfac {turn:g}, not 1 or -1"))
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        shown = " x ".join(f"{size:.4g}" for size in sizes)
        told.append(
            f"The NIfTI header's voxel size is {shown}, numbers above 0 are needed: 3D Slicer and ITK-SNAP may show "
            "the scan in another size, or mirrored."
        )
        if by_qform and (sizes < 0).any():
            told.append(length_units.NO_SIDES.format(format="The NIfTI", why="has a voxel size below 0"))
    slope, inter = float(stored["scl_slope"]), float(stored["scl_inter"])
    if slope == 0 and np.isfinite(inter) and inter:
        told.append(
            f"The NIfTI header has the intercept {inter:g} without a slope: values were taken as stored, as the "
            "standard says. 3D Slicer and ITK-SNAP add it."
        )
    return told


def _gap_mm(first: Float[np.ndarray, "4 4"], second: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> float:
    """How far two affines place one corner of the volume apart."""
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
    return [f"The NIfTI header's voxel size is {both[0]}, its sform's {both[1]}: the sform is used."]
