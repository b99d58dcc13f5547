"""A studies folder of small files, as its scans are listed without any reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three files in place of scans; their content does not matter here."""
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("p1", "p2", "p3"):
        (folder / f"{name}.nii.gz").write_bytes(name.encode())
    return folder


@pytest.fixture
def opened(root: Path) -> Callable[[], Any]:
    """A function that opens the folder as another server would."""
    from medvlsam2.data.studies.scan_list import FoundScan, ScanList
    from medvlsam2.data.studies.studies_folder import StudiesFolder

    def list_scans(folder: Path) -> ScanList:
        return ScanList(
            {
                path.name.removesuffix(".nii.gz"): FoundScan(path.name, ".nii.gz")
                for path in sorted(folder.glob("*.nii.gz"))
            }
        )

    return lambda: StudiesFolder(root, list_scans)


@pytest.fixture
def label(tmp_path: Path) -> Callable[[str, str], Path]:
    """A function that writes a file to submit."""

    def write(content: str, suffix: str = ".nii.gz") -> Path:
        path = tmp_path / f"label{suffix}"
        path.write_text(content, encoding="utf-8")
        return path

    return write
