"""Arrays with their place in space, as NIfTI, NRRD and MetaImage files hold them.

nibabel reads NIfTI, because ITK makes a sheared affine orthogonal without saying so and fills a truncated
file with garbage; SimpleITK reads the rest. This module knows nothing of Hounsfield units, labels or DICOM.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from medvlsam2 import geometry
from medvlsam2.data.labels import scan_affine
from medvlsam2.data.reading.names import ITK_SUFFIXES, NIFTI_SUFFIXES, known_suffix
from medvlsam2.errors import UnreadableVolume

if TYPE_CHECKING:
    import SimpleITK as sitk

MAX_VOXELS: Final = 2**31
"""More than any scanner makes (2048 x 2048 x 512); a larger number is a damaged header."""

QFORM_TOLERANCE_MM: Final = 1.0
"""How far a NIfTI's two orientations may place one corner of the volume apart before the user is told."""

_NIFTI_ERRORS: Final = (
    OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error, ImageFileError, HeaderDataError,
)  # fmt: skip
_REASON_LENGTH: Final = 160
_READ_AT_ONCE_BYTES: Final = 2**24


@dataclass(frozen=True, eq=False)
class StoredArray:
    """What a file holds: voxels as stored, and where they lie.

    Args:
        values: voxels after the file's own scaling, in the file's axis order.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        metadata: the header's own text fields, e.g. Slicer's segment names.
        warnings: sentences for the user.
    """

    values: Shaped[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_array(path: Path) -> StoredArray:
    """Read one 3-D NIfTI, NRRD or MetaImage file.

    Raises:
        UnreadableVolume: if the file is absent, of another format, damaged, truncated or not 3-D.
    """
    if not path.is_file():
        raise UnreadableVolume(f"'{path.name}' is not there. Give the path of an existing file or DICOM folder.")
    suffix = known_suffix(path)
    if suffix in NIFTI_SUFFIXES:
        return _read_nifti(path)
    if suffix in ITK_SUFFIXES:
        return _read_itk(path)
    raise UnreadableVolume(
        f"'{path.name}' is of no known format. Allowed are {', '.join((*NIFTI_SUFFIXES, *ITK_SUFFIXES))} and "
        "DICOM series folders; convert the file to one of them."
    )


def unreadable(path: Path, error: BaseException) -> UnreadableVolume:
    """One sentence that names the file and gives the reader's own reason, without paths or line numbers."""
    text = str(error) or type(error).__name__
    text = re.split(r"ITK ERROR:|sitk::ERROR:", text)[-1]
    text = re.sub(r"Reason: .*", "", text, flags=re.DOTALL)
    text = re.sub(r"\w+\(0x[0-9a-f]+\):", "", text).replace(str(path), path.name).replace(f"{path.parent}/", "")
    text = " ".join(text.split()).rstrip(".: ")
    if len(text) > _REASON_LENGTH:
        text = "… " + text[-_REASON_LENGTH:]
    return UnreadableVolume(
        f"'{path.name}' is damaged or truncated and cannot be read ({text}). Copy or export it again."
    )


def squeezed_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The three sizes of a volume whose trailing axes of one voxel are dropped.

    Raises:
        UnreadableVolume: if it is not 3-D, is empty, or is larger than MAX_VOXELS.
    """
    sizes = list(shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) != 3:
        raise UnreadableVolume(
            f"'{path.name}' is {len(sizes)}-D with shape {shape}; one 3-D volume is needed. "
            + ("Give the whole series." if len(sizes) < 3 else "Save one of its volumes as a file of its own.")
        )
    if not 0 < prod(sizes) <= MAX_VOXELS:
        raise UnreadableVolume(
            f"'{path.name}' has shape {shape}, that is {prod(sizes)} voxels; 1 to {MAX_VOXELS} are allowed. "
            "Its header is probably damaged; export it again."
        )
    return sizes[0], sizes[1], sizes[2]


def _read_nifti(path: Path) -> StoredArray:
    try:
        image = nib.load(path)
    except _NIFTI_ERRORS as error:
        raise unreadable(path, error) from None
    if not isinstance(image, nib.Nifti1Pair):
        raise UnreadableVolume(f"'{path.name}' is not a NIfTI file though its name says so. Export it again.")
    shape = squeezed_shape(path, image.shape)
    _require_numbers(path, image.get_data_dtype())
    try:
        values = _nifti_values(image).reshape(shape, order="F")
    except _NIFTI_ERRORS as error:
        raise unreadable(path, error) from None
    affine = scan_affine.of_nifti(image, np.asarray(image.affine, dtype=np.float64), shape)
    return StoredArray(values, affine, warnings=_nifti_warnings(image, shape))


def _nifti_values(image: nib.Nifti1Pair) -> Shaped[np.ndarray, " n"]:
    """All voxels, read a part at a time: nibabel asks gzip for all of them at once, which takes three times the memory.

    Raises:
        OSError: if the file ends before its voxels do.
    """
    proxy = image.dataobj
    assert isinstance(proxy, ArrayProxy)
    stored = np.empty(prod(proxy.shape), dtype=proxy.dtype)
    room = stored.view(np.uint8).data
    with ImageOpener(proxy.file_like) as file:
        file.seek(proxy.offset)
        done = 0
        while done < len(room):
            count = file.readinto(room[done : done + _READ_AT_ONCE_BYTES])
            if not count:
                raise OSError(f"Expected {len(room)} bytes, got {done}")
            done += count
    values: np.ndarray = apply_read_scaling(stored, proxy.slope, proxy.inter)
    return values


def _nifti_warnings(image: nib.Nifti1Pair, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Say where left and right are not certain: no orientation in the header, or two different ones."""
    sform, qform = int(image.header["sform_code"]), int(image.header["qform_code"])
    if not sform and not qform:
        return ("The NIfTI header holds no orientation: left and right are guessed.",)
    if sform and qform:
        corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(shape) - 1)
        by_sform = geometry.ijk_to_ras(corners, np.asarray(image.get_sform(), dtype=np.float64))
        by_qform = geometry.ijk_to_ras(corners, np.asarray(image.get_qform(), dtype=np.float64))
        gap_mm = float(np.linalg.norm(by_sform - by_qform, axis=1).max())
        if gap_mm > QFORM_TOLERANCE_MM:
            return (f"The NIfTI header's sform and qform differ by up to {gap_mm:.1f} mm: the sform is used.",)
    return ()


def _read_itk(path: Path) -> StoredArray:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape = squeezed_shape(path, reader.GetSize())
        if reader.GetNumberOfComponents() != 1:
            raise UnreadableVolume(
                f"'{path.name}' has {reader.GetNumberOfComponents()} values per voxel (colour, or a "
                "segmentation with overlapping segments); 1 is allowed. "
                "Save a grey image or a single-layer label map."
            )
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(path, error) from None
    values = sitk.GetArrayFromImage(image).T.reshape(shape, order="F")
    _require_numbers(path, values.dtype)
    # SimpleITK escapes bytes that are no UTF-8 and then refuses such a key.
    keys = [key for key in image.GetMetaDataKeys() if key.isascii()]
    metadata = {key: image.GetMetaData(key).encode(errors="replace").decode() for key in keys}
    spaceless = "nrrd" in known_suffix(path) and not metadata.get("NRRD_space")
    warnings = ("The NRRD header names no patient space: left and right are guessed.",) if spaceless else ()
    return StoredArray(values, _itk_affine(image), metadata, warnings)


def _itk_affine(image: sitk.Image) -> Float[np.ndarray, "4 4"]:
    """ITK's origin, spacing and direction (``_lps``) as one ``_ijk`` to ``_ras`` affine."""
    size = image.GetDimension()
    affine_lps = np.eye(4)
    direction = np.array(image.GetDirection(), dtype=np.float64).reshape(size, size)[:3, :3]
    affine_lps[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine_lps[:3, 3] = image.GetOrigin()[:3]
    return geometry.ras_to_lps_affine(affine_lps)


def _require_numbers(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "buif":
        raise UnreadableVolume(
            f"'{path.name}' holds voxels of type {dtype}; integers and real numbers are allowed. "
            "Save a grey image instead."
        )
