"""Names of image files: the suffixes of each format, the files that belong to no scan, and the default image id."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NIFTI_SUFFIXES: Final = (".nii.gz", ".nii")
NRRD_SUFFIXES: Final = (".seg.nrrd", ".nrrd", ".nhdr")
META_SUFFIXES: Final = (".mha", ".mhd")
ITK_SUFFIXES: Final = (*NRRD_SUFFIXES, *META_SUFFIXES)
DICOM_SUFFIXES: Final = (".dcm", ".ima")

FOREIGN_FOLDERS: Final = frozenset(("__MACOSX",))
"""Folders that a program adds to an archive without being asked. The macOS Finder adds ``__MACOSX``."""


def known_suffix(path: Path) -> str:
    """Return the suffix of an image file in lower case (``.nii.gz`` is one suffix); empty for an unknown format."""
    name = path.name.lower()
    known = (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *DICOM_SUFFIXES)
    return next((suffix for suffix in known if name.endswith(suffix)), "")


def default_image_id(path: Path) -> str:
    """Return the name of a file or folder without the image suffix.

    Example:
        >>> default_image_id(Path("studies/chest.1.nii.gz"))
        'chest.1'
    """
    suffix = known_suffix(path)
    return path.name[: -len(suffix)] if suffix and path.name != suffix else path.name


def is_hidden(path: Path) -> bool:
    """Return whether a file or folder is hidden (``.DS_Store``, ``._IM001.dcm``) or one of FOREIGN_FOLDERS.

    Example:
        >>> is_hidden(Path("CT/._IM001.dcm")), is_hidden(Path("CT/IM001.dcm"))
        (True, False)
    """
    return path.name.startswith(".") or path.name in FOREIGN_FOLDERS
