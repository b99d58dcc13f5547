"""A scan as ONE file that 3D Slicer and other ITK programs can load, for routes that send scans to viewers.

A viewer that asks a server for a scan gets one file. Some scans cannot be loaded from one file: a folder of DICOM
slices, a single DICOM slice, a header with its voxels in a second file. ITK cannot show others where they lie: a scan
in another unit than mm, NIfTI-2, a sheared NIfTI without a second transform, a NRRD or MetaImage file with fields that
ITK does not know. For all these the server sends a NIfTI file of the same voxels, so that masks fit voxel by voxel.
A route uses this module as follows::

    if not loads_as_it_is(source):
        source = as_one_file(source, cache_folder, image_id)
    return FileResponse(source, filename=download_name(source, image_id))

A reply that names a sample must give ``download_name(…)`` as its ``name``, because Slicer chooses its reader by the
suffix. The reply must not give the ``path`` or the ``checksum`` of a file that the server will not send. It must give
the checksum of the file that the server will send: Slicer caches downloads by file name alone, and could show an older
scan with the same name.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from medvlsam2 import atomic_files
from medvlsam2.data.placement import scan_affine
from medvlsam2.data.readers import read_stored, read_volume
from medvlsam2.data.reading import causes
from medvlsam2.data.reading.formats.data_files import named_data_files
from medvlsam2.data.reading.formats.header_text import read_meta_header, read_nrrd_header
from medvlsam2.data.reading.formats.nifti import is_first_version
from medvlsam2.data.reading.length_units import mm_per_unit
from medvlsam2.data.reading.names import ITK_SUFFIXES, META_SUFFIXES, NIFTI_SUFFIXES, known_suffix
from medvlsam2.data.volume_files import write_volume
from medvlsam2.errors import UnreadableVolume, VolumeTooLarge

DOWNLOAD_SUFFIX: Final = ".nii.gz"

_NRRD_ENCODINGS_OF_ITK: Final = ("raw", "gzip", "gz", "txt", "text", "ascii", "hex")
_NRRD_SPACES_OF_ITK: Final = (
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las",
    "scanner-xyz", "3d-right-handed", "3d-left-handed",
)  # fmt: skip
_NRRD_FIELDS_OF_ITK: Final = frozenset((
    "type", "dimension", "space", "sizes", "spacedirections", "spaceorigin", "kinds", "endian", "encoding", "content",
    "spaceunits", "measurementframe", "centerings", "centers", "lineskip", "byteskip", "labels", "thicknesses",
))  # fmt: skip
_PLAIN_META: Final = {"ndims": "3", "binarydata": "true", "headersize": "0"}
"""Values of these fields, if present, in a MetaImage that ITK reads in the same way as this package."""

SHEAR_TOLERANCE: Final = 1e-5
"""Largest cosine between two axes of a NIfTI's transform for which the file is sent unchanged.

ITK refuses a NIfTI file from about 1e-4 (found by trial); the bound keeps a factor of ten."""


def loads_as_it_is(source: Path) -> bool:
    """Return whether a viewer that gets this file alone can load it.

    The result is also False for a path that does not exist and for a file of no known format.

    Args:
        source: path of a scan in a datastore: a file, or a folder with a DICOM series.
    """
    suffix = known_suffix(source)
    if not source.is_file():
        return False
    if suffix in NIFTI_SUFFIXES:
        named_packed = suffix.endswith(".gz")
        return causes.first_bytes(source).startswith(causes.GZIP_MARK) == named_packed and _itk_opens(source)
    return suffix in ITK_SUFFIXES and _itk_shows(source, suffix)


def download_name(source: Path, image_id: str) -> str:
    """Return the file name under which a viewer should save the scan, with the suffix of the file that is sent.

    Example:
        >>> download_name(Path("studies/chest"), "chest")
        'chest.nii.gz'
    """
    return f"{image_id}{known_suffix(source) if loads_as_it_is(source) else DOWNLOAD_SUFFIX}"


def write_scan_as_nifti(source: Path, target: Path, image_id: str | None = None) -> tuple[str, ...]:
    """Write any readable scan as NIfTI: the same voxels in HU, in the same order, at the same place.

    The sform is the scan's own affine (``_ijk`` to ``_ras`` mm), also if the affine is sheared. The qform is the
    nearest rotation; ITK uses the qform if it refuses the sform because of shear.

    Args:
        source: a file, or a folder with a DICOM series.
        target: path that ends in ``.nii.gz`` or ``.nii``. The file is written atomically, also if two processes write
            it at the same time.
        image_id: name of the scan in messages.

    Returns:
        The reader's warnings.

    Raises:
        UnreadableVolume: if the scan cannot be read.
    """
    volume = read_volume(source, image_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.replacing(target, flush=False) as partial:
        write_volume(partial, volume)
    return volume.warnings


def as_one_file(source: Path, cache_folder: Path, image_id: str) -> Path:
    """Return the path of a NIfTI file of a scan; the file is made at the first call and reused until the scan changes.

    Args:
        source: a file, or a folder with a DICOM series.
        cache_folder: a folder that only the server may read, because it holds scans of patients; made with mode 0700.
        image_id: name of the scan in messages.

    Raises:
        UnreadableVolume: if the scan cannot be read.
    """
    cache_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = cache_folder / f"{_fingerprint(source)}{DOWNLOAD_SUFFIX}"
    if not made.is_file():
        write_scan_as_nifti(source, made, image_id)
    return made


def _itk_shows(source: Path, suffix: str) -> bool:
    """Return whether ITK reads a NRRD or MetaImage file in the same way as this package.

    This holds for a file with plain fields, with its voxels in the same file and with lengths in mm. ITK reads every
    length as mm, so masks, which are in mm, would not lie on a scan in another unit.
    """
    is_meta = suffix in META_SUFFIXES
    try:
        header = read_meta_header(source) if is_meta else read_nrrd_header(source)
        parts = named_data_files(source)
        units = [shlex.split(header.fields.get(name, "")) for name in ("spaceunits", "units", "distanceunits")]
    except (UnreadableVolume, ValueError):
        return False
    in_mm = all(mm_per_unit(unit) in (1.0, None) for named in units for unit in named)
    return parts == (source,) and in_mm and (_is_plain_meta if is_meta else _is_plain_nrrd)(header.fields)


def _is_plain_nrrd(fields: Mapping[str, str]) -> bool:
    """Return whether a NRRD has three axes with directions, and a space, an encoding and fields that ITK all knows.

    A space with time is not plain, because ITK ignores its sides.
    """
    return (
        fields.get("dimension") == "3"
        and fields.get("encoding", "").lower() in _NRRD_ENCODINGS_OF_ITK
        and fields.get("space", "").lower() in _NRRD_SPACES_OF_ITK
        and "spacedirections" in fields
        and _NRRD_FIELDS_OF_ITK.issuperset(fields)
    )


def _is_plain_meta(fields: Mapping[str, str]) -> bool:
    """Return whether a MetaImage has three axes of binary voxels and, if compressed, the size of the compressed stream.

    Without that size ITK shows noise.
    """
    compressed = fields.get("compresseddata", "false").lower() != "false"
    return (
        all(fields.get(name, plain).lower() == plain for name, plain in _PLAIN_META.items())
        and fields.get("elementtype", "").isupper()
        and (not compressed or "compresseddatasize" in fields)
    )


def _itk_opens(path: Path) -> bool:
    """Return whether ITK opens a NIfTI file: version 1, place fields with valid numbers, and no sheared transform.

    The result is True for a damaged file, which is sent unchanged because no better file can be made from it.
    """
    try:
        stored = read_stored(path, geometry_only=True)
    except (UnreadableVolume, VolumeTooLarge):
        return True
    source = scan_affine.source_of(stored.affine, stored.values.shape)
    if not is_first_version(path) or source is None or source.nifti is None:
        return False
    place = source.nifti
    return int(place["qform_code"]) > 0 or not int(place["sform_code"]) or _shear(place.get_sform()) <= SHEAR_TOLERANCE


def _shear(affine: Float[np.ndarray, "4 4"]) -> float:
    """Return the largest cosine between two different axes; 0 for a transform without shear."""
    axes = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _fingerprint(source: Path) -> str:
    """Return a hash of the names, sizes and modification times of all files of a scan.

    For a single file the whole folder counts, because its data files or its series may lie beside it.
    """
    folder = source if source.is_dir() else source.parent
    digest = hashlib.sha256(os.fsencode(source.resolve()))
    for path in sorted(folder.rglob("*") if source.is_dir() else folder.iterdir()):
        if path.is_file():
            facts = path.stat()
            digest.update(os.fsencode(path) + f" {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]
