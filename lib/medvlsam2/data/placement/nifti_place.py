"""The header fields of a NIfTI file that place its voxels (place fields), read and written without any correction."""

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
"""Millimetres per unit, by NIfTI's codes of metre, millimetre and micron. Other codes are read as mm, as ITK does."""
MILLIMETRE: Final = 2

MAX_NUMBER: Final = 1e8
"""Largest coordinate or voxel size in the header's unit: 100 m in microns."""
MAX_QUATERNION_NORM: Final = 1.001
"""Largest sum of squares of the quaternion's three numbers: 1 for a rotation, plus rounding to single precision."""

_FIELDS: Final = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z",
)  # fmt: skip
UNIT_OF_LENGTH: Final = 7
"""Bits of ``xyzt_units`` that hold the unit of length."""
_NO_EXTENSIONS: Final = bytes(4)


def stored_place(stored: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a header with the place fields of a file as they are stored.

    Args:
        stored: the header as it is in the file (``check=False``). nibabel corrects some fields that ITK uses
            uncorrected; for example a negative voxel size mirrors the image in ITK.
    """
    place = nib.Nifti1Header()
    _copy_place(stored, place)
    return place


def mm_per_header_unit(place: nib.Nifti1Header) -> float:
    """Return the millimetres in the header's unit of length."""
    return MM_PER_UNIT.get(int(place["xyzt_units"]) & UNIT_OF_LENGTH, 1.0)


def is_sound(place: nib.Nifti1Header) -> bool:
    """Return whether every place field holds a number that a scanner could have written, whatever the codes are.

    ITK's reader never returns for some other numbers, so such a header must not be given to ITK.
    """
    numbers = np.concatenate([np.ravel(np.asarray(place[name], dtype=np.float64)) for name in _FIELDS[2:]])
    norm = sum(float(place[f"quatern_{axis}"]) ** 2 for axis in "bcd")
    sizes = np.asarray(place["pixdim"][:4], dtype=np.float64)
    # Comparisons with NaN are False, so NaN gives False.
    return bool(
        (np.abs(numbers) <= MAX_NUMBER).all() and (np.abs(sizes) <= MAX_NUMBER).all() and norm <= MAX_QUATERNION_NORM
    )


def forms(place: nib.Nifti1Header) -> list[Float[np.ndarray, "4 4"]]:
    """Return the sform and the qform, in the header's unit, if their codes are not 0 and nibabel accepts them."""
    found = []
    if int(place["sform_code"]):
        found.append(np.asarray(place.get_sform(), dtype=np.float64))
    if int(place["qform_code"]):
        with suppress(ValueError, HeaderDataError):  # a quaternion longer than 1, a voxel size below 0
            found.append(np.asarray(place.get_qform(), dtype=np.float64))
    return found


def write_nifti(path: Path, values: Num[np.ndarray, "i j k"], place: nib.Nifti1Header) -> None:
    """Write voxels without scaling, with the place fields of a header without any correction.

    Args:
        path: path that ends in ``.nii.gz`` or ``.nii``.
        values: voxels of a type that NIfTI supports.
        place: header with the transforms, their codes, the voxel sizes and the unit of length.
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
