"""The scans of a folder, as a search for scans returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class FoundScan:
    """One scan of a folder."""

    file: str
    """Path of its file or folder below the folder that was looked through, with "/"."""
    ext: str
    """Suffix as it is written; empty for a folder of DICOM slices."""
    parts: tuple[str, ...] = ()
    """Names of all files and folders of the scan; empty if ``file`` is all of it."""


@dataclass(frozen=True)
class ScanList:
    """All scans of a folder by image id, and why other files are not among them."""

    scans: Mapping[str, FoundScan]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """By file name: the rest of a sentence that begins with that name."""


ScanLister = Callable[[Path], ScanList]
"""Searches a folder for scans."""
