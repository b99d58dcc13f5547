"""A scan as ONE file that 3D Slicer and other ITK programs load, for routes that send scans to viewers.

A viewer that asks a server for a scan gets one file. These cannot be loaded that way: a folder of DICOM slices, a lone
DICOM slice, a header with its voxels in a second file, a scan in another unit than mm, NIfTI-2, a sheared NIfTI without
a second transform, a NRRD or MetaImage with what ITK does not know. The server sends a NIfTI file of the same voxels
instead, and masks then fit voxel by voxel. How a route uses this module::

    if not loads_as_it_is(source):
        source = as_one_file(source, cache_folder, image_id)
    return FileResponse(source, filename=download_name(source, image_id))

A reply that names a sample must name ``download_name(…)`` as its ``name`` (Slicer chooses its reader by the ending),
and must not give a ``path`` or a ``checksum`` of what it will not send. It must give the checksum of what it will send:
Slicer keeps downloads by their file name alone, and would show another scan of that name.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

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
"""What a MetaImage that ITK reads as we do says in these fields, where it has them."""

SHEAR_TOLERANCE: Final = 1e-5
"""Largest cosine between two axes of a NIfTI's transform that ITK still opens; it refuses from about 1e-4."""


def loads_as_it_is(source: Path) -> bool:
    """Whether a viewer that gets this file alone can load it.

    False also for a path that is not there and for a file of no known format.

    Args:
        source: what a datastore holds: a file, or a folder with a DICOM series.
    """
    suffix = known_suffix(source)
    if not source.is_file():
        return False
    if suffix in NIFTI_SUFFIXES:
        named_packed = suffix.endswith(".gz")
        return causes.first_bytes(source).startswith(causes.GZIP_MARK) == named_packed and _itk_opens(source)
    return suffix in ITK_SUFFIXES and _itk_shows(source, suffix)


def download_name(source: Path, image_id: str) -> str:
    """File name under which a viewer should save the scan; its ending is that of what is sent.

    Example:
        >>> download_name(Path("studies/chest"), "chest")
        'chest.nii.gz'
    """
    return f"{image_id}{known_suffix(source) if loads_as_it_is(source) else DOWNLOAD_SUFFIX}"


def write_nifti(source: Path, target: Path, image_id: str | None = None) -> tuple[str, ...]:
    """Write any scan that the readers know as NIfTI: the same voxels in HU, in the same order, at the same place.

    The sform is the scan's own affine (``_ijk`` to ``_ras``), also a sheared one; the qform is the rotation nearest to
    it, which ITK takes where it refuses shear.

    Args:
        source: a file, or a folder with a DICOM series.
        target: ends in ``.nii.gz`` or ``.nii``; it appears whole or not at all, also if two write it at once.
        image_id: name of the scan in messages.

    Returns:
        The reader's warnings.

    Raises:
        UnreadableVolume: if the scan cannot be read.
    """
    volume = read_volume(source, image_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as beside:
        written = Path(beside) / f"scan{known_suffix(target)}"
        write_volume(written, volume)
        os.replace(written, target)
    return volume.warnings


def as_one_file(source: Path, cache_folder: Path, image_id: str) -> Path:
    """One NIfTI file of a scan, made at the first call and kept until the scan changes.

    Args:
        source: a file, or a folder with a DICOM series.
        cache_folder: a folder that only the server reads (scans of patients); it is made with mode 0700.
        image_id: name of the scan in messages.

    Raises:
        UnreadableVolume: if the scan cannot be read.
    """
    cache_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = cache_folder / f"{_fingerprint(source)}{DOWNLOAD_SUFFIX}"
    if not made.is_file():
        write_nifti(source, made, image_id)
    return made


def _itk_shows(source: Path, suffix: str) -> bool:
    """Whether a NRRD or MetaImage file is one that ITK reads as we do: plain, with its own voxels and lengths in mm.

    ITK takes every length for mm: masks, which are in mm, would lie beside a scan in another unit.
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
    """Three axes with directions in a space that ITK knows, in an encoding that it knows, and no field besides.

    ITK passes over the sides of a space with time.
    """
    return (
        fields.get("dimension") == "3"
        and fields.get("encoding", "").lower() in _NRRD_ENCODINGS_OF_ITK
        and fields.get("space", "").lower() in _NRRD_SPACES_OF_ITK
        and "spacedirections" in fields
        and _NRRD_FIELDS_OF_ITK.issuperset(fields)
    )


def _is_plain_meta(fields: Mapping[str, str]) -> bool:
    """Three axes of binary voxels, and the size of a compressed stream: without it ITK shows noise."""
    compressed = fields.get("compresseddata", "false").lower() != "false"
    return (
        all(fields.get(name, plain).lower() == plain for name, plain in _PLAIN_META.items())
        and fields.get("elementtype", "").isupper()
        and (not compressed or "compresseddatasize" in fields)
    )


def _itk_opens(path: Path) -> bool:
    """Whether a NIfTI is of version 1, its place is told in numbers that are sound, and its transform has no shear.

    A damaged file is sent as it is, for nothing better is known.
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
    """Largest cosine between two different axes; 0 for a plain rotation."""
    axes = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _fingerprint(source: Path) -> str:
    """Changes with every file of the scan: names, sizes and times; for one file with companions its whole folder."""
    folder = source if source.is_dir() else source.parent
    digest = hashlib.sha256(os.fsencode(source.resolve()))
    for path in sorted(folder.rglob("*") if source.is_dir() else folder.iterdir()):
        if path.is_file():
            facts = path.stat()
            digest.update(os.fsencode(path) + f" {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]
