"""Reader of NIfTI, NRRD and MetaImage files: chooses the reader of the format by the file's suffix.

Headers are parsed and checked in Python, and ``voxel_stream`` reads the voxels; no native library reads a file. This
module knows nothing of Hounsfield units, labels or DICOM.
"""

from __future__ import annotations

from pathlib import Path

from medvlsam2.data.reading import causes, names
from medvlsam2.data.reading.formats.metaimage import read_metaimage
from medvlsam2.data.reading.formats.nifti import read_nifti
from medvlsam2.data.reading.formats.nrrd import read_nrrd
from medvlsam2.data.reading.stored_array import StoredArray, unreadable
from medvlsam2.errors import UnreadableVolume


def read_array(path: Path, max_ratio: float | None = None, *, geometry_only: bool = False) -> StoredArray:
    """Read one 3-D NIfTI, NRRD or MetaImage file.

    Args:
        path: the file; a header needs its data files beside it.
        max_ratio: largest ratio of the voxels' size to the compressed size, for scans; None for label maps.
        geometry_only: read the header alone: all voxels are 0 and take no memory.

    Raises:
        UnreadableVolume: if the file is absent, of another format, damaged, truncated or not 3-D.
        VolumeTooLarge: if the volume does not fit the memory budget.
    """
    if not path.is_file():
        raise UnreadableVolume(f"'{path.name}' is not there. Give the path of an existing file or DICOM folder.")
    suffix = names.known_suffix(path)
    _require_own_content(path, suffix)
    if suffix in names.NIFTI_SUFFIXES:
        return read_nifti(path, max_ratio, geometry_only=geometry_only)
    if suffix in names.NRRD_SUFFIXES:
        return read_nrrd(path, max_ratio, geometry_only=geometry_only)
    if suffix in names.META_SUFFIXES:
        return read_metaimage(path, max_ratio, geometry_only=geometry_only)
    raise UnreadableVolume(
        f"'{path.name}' is of no known format. Allowed are {', '.join((*names.NIFTI_SUFFIXES, *names.ITK_SUFFIXES))} "
        "and DICOM series folders; convert the file to one of them."
    )


def _require_own_content(path: Path, suffix: str) -> None:
    """Refuse a file whose content is known to differ from what its suffix says."""
    try:
        start = causes.first_bytes(path)
    except OSError as error:
        raise unreadable(path, error.strerror or error) from None
    foreign = causes.foreign_content(start)
    if not foreign and suffix in (*names.NIFTI_SUFFIXES, *names.ITK_SUFFIXES):
        foreign = causes.misnamed(start, suffix)
    if foreign:
        raise UnreadableVolume(f"'{path.name}' {foreign}")
