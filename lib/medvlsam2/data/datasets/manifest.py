"""Manifests: files with one line of JSON for each scan, with all that is needed before its voxels are read.

The paths in a manifest are relative to it, so that a data set can be moved as a whole. ``medvlsam2 manifest`` makes one
from a folder in a layout of :mod:`medvlsam2.data.datasets.layouts`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from medvlsam2 import atomic_files
from medvlsam2.errors import DatasetError

_PATHS: Final = ("image", "label", "report")


@dataclass(frozen=True, kw_only=True)
class ScanRecord:
    """One scan of a data set."""

    case_id: str
    """Name of the scan in its data set."""
    patient_id: str
    """Scans with one id are one patient, and always in one split."""
    image: Path
    """The scan."""
    label: Path | None = None
    """Its label map, on the same grid."""
    report: Path | None = None
    """Its report, plain text."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Name of each label value, as the data set has it."""
    partly_contoured: tuple[str, ...] = ()
    """Names whose label covers only some of such structures (some of the vertebrae, say). They are not used as
    truth."""
    split: str | None = None
    """"train", "val" …; None where the data set does not say."""
    licence: str | None = None
    """Licence, where the data set says."""
    source: str | None = None
    """Where it is from, where the data set says."""
    in_hounsfield: bool = True
    """False for arrays that were rescaled when the data set was prepared: they can be listed, but not trained on."""

    @property
    def known_names(self) -> dict[int, str]:
        """Names of the label values that are wholly contoured."""
        return {value: name for value, name in self.names.items() if name not in self.partly_contoured}


def write_manifest(path: Path | str, records: Iterable[ScanRecord]) -> None:
    """Write a manifest; the file appears whole or not at all."""
    path = Path(path)
    base = path.absolute().parent
    lines = []
    for record in records:
        line = asdict(record)
        for name in _PATHS:
            if line[name] is not None:
                line[name] = os.path.relpath(Path(line[name]).absolute(), base)
        lines.append(json.dumps(line, ensure_ascii=False))
    atomic_files.write_text(path, "".join(f"{line}\n" for line in lines))


def read_manifest(path: Path | str) -> list[ScanRecord]:
    """Read a manifest.

    Raises:
        DatasetError: if there is none, or a line of it is no scan.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"Manifest '{path}' cannot be read ({error}). Make one with 'medvlsam2 manifest'."
        ) from error
    return [_record(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _record(path: Path, number: int, line: str) -> ScanRecord:
    try:
        fields: dict[str, Any] = json.loads(line)
        for name in _PATHS:
            if fields.get(name) is not None:
                fields[name] = path.absolute().parent / fields[name]
        fields["names"] = {int(value): name for value, name in fields["names"].items()}
        fields["partly_contoured"] = tuple(fields["partly_contoured"])
        return ScanRecord(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetError(
            f"Line {number} of manifest '{path.name}' is no scan ({type(error).__name__}: {error}). "
            "Make the manifest anew with 'medvlsam2 manifest'."
        ) from error
