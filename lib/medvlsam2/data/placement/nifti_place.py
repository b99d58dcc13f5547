"""The header fields by which a NIfTI file says where its voxels lie: read and written as they are, nothing mended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

MM_PER_UNIT: Final = {1: 1000.0, 2: 1.0, 3: 0.001}
"""NIfTI's codes of length: metre, millimetre, micron. Other codes are taken as millimetres, as ITK does."""
MILLIMETRE: Final = 2

MAX_NUMBER: Final = 1e8
"""Largest coordinate or voxel size: 100 m in microns."""
MAX_QUATERNION_NORM: Final = 1.001
"""Largest sum of squares of a unit quaternion's three numbers, after rounding to single precision."""

_FIELDS: Final = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z",
)  # fmt: skip
UNIT_OF_LENGTH: Final = 7
"""Bits of ``xyzt_units`` that hold the unit of length."""
_NO_EXTENSIONS: Final = bytes(4)


def stored_place(stored: nib.Nifti1Header) -> nib.Nifti1Header:
    """The place fields of a file, as stored.

    Args:
        stored: the header as it is in the file (``check=False``), because nibabel mends what ITK takes as it stands: a
            voxel size below 0 turns the image about for ITK.
    """
    place = nib.Nifti1Header()
    _copy_place(stored, place)
    return place


def mm_per_header_unit(place: nib.Nifti1Header) -> float:
    """Millimetres in the header's unit of length."""
    return MM_PER_UNIT.get(int(place["xyzt_units"]) & UNIT_OF_LENGTH, 1.0)


def is_sound(place: nib.Nifti1Header) -> bool:
    """Whether every place field is a number that a scanner could have written, whatever the codes say.

    ITK's own reader computes for ever on some that are not, so it must not see them.
    """
    numbers = np.concatenate([np.ravel(np.asarray(place[name], dtype=np.float64)) for name in _FIELDS[2:]])
    norm = sum(float(place[f"quatern_{axis}"]) ** 2 for axis in "bcd")
    sizes = np.asarray(place["pixdim"][:4], dtype=np.float64)
    # Written so that NaN is not sound.
    return bool(
        (np.abs(numbers) <= MAX_NUMBER).all() and (np.abs(sizes) <= MAX_NUMBER).all() and norm <= MAX_QUATERNION_NORM
    )


def forms(place: nib.Nifti1Header) -> list[Float[np.ndarray, "4 4"]]:
    """The sform and the qform, those of them that are coded and that nibabel understands, in the header's unit."""
    found = []
    if int(place["sform_code"]):
        found.append(np.asarray(place.get_sform(), dtype=np.float64))
    if int(place["qform_code"]):
        with suppress(ValueError, HeaderDataError):  # a quaternion longer than 1, a voxel size below 0
            found.append(np.asarray(place.get_qform(), dtype=np.float64))
    return found


def write_nifti(path: Path, values: Num[np.ndarray, "i j k"], place: nib.Nifti1Header) -> None:
    """Write voxels as they are, with the place fields of a header as they are.

    Args:
        path: ends in ``.nii.gz`` or ``.nii``.
        values: of a type that NIfTI has.
        place: transforms, their codes, voxel sizes and unit of length.
    """
    header = nib.Nifti1Header()
    header.set_data_dtype(values.dtype)
    header.set_data_shape(values.shape)
    _copy_place(place, header)
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["magic"], header["vox_offset"] = b"n+1", header["sizeof_hdr"] + len(_NO_EXTENSIONS)
    with ImageOpener(str(path), "wb") as file:
        file.write(header.binaryblock + _NO_EXTENSIONS)
        for plane in np.moveaxis(values, -1, 0):
            file.write(plane.tobytes(order="F"))


def _copy_place(source: nib.Nifti1Header, target: nib.Nifti1Header) -> None:
    for name in _FIELDS:
        target[name] = source[name]
    target["pixdim"][:4] = source["pixdim"][:4]
    target["xyzt_units"] = int(source["xyzt_units"]) & UNIT_OF_LENGTH
