"""Check of a submitted label before it is stored: the annotator is told at once, and a refused file is kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medvlsam2.data.label_maps import WRITABLE_SUFFIXES, LabelMap, write_label_map
from medvlsam2.data.labels.as_sent import is_plain
from medvlsam2.data.labels.scan_geometry import ScanGeometry, read_geometry
from medvlsam2.data.labels.submission import RAW_SUFFIX, CheckedLabel, check_label, read_label_on_scan
from medvlsam2.data.placement.scan_affine import for_viewers
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies.label_place import LABEL_SUFFIXES, label_suffix
from medvlsam2.errors import DatasetError, InvalidRequest

logger = logging.getLogger(__name__)

TEXT_SUFFIX: Final = ".json"

SUBMITTED: Final = (*LABEL_SUFFIXES, RAW_SUFFIX)
"""Suffixes that a submitted label may have."""


@dataclass(frozen=True)
class CheckedFile:
    """A submitted label that passed the check, in the form in which it is stored."""

    path: Path
    ext: str
    warnings: tuple[str, ...]
    sent: Path | None = None
    """The file as it was sent, if ``path`` is a rewritten file; else None."""


def submitted_suffix(name: str) -> str:
    """Return the suffix of an uploaded label in lower case.

    Raises:
        InvalidRequest: if it is none of SUBMITTED.
    """
    suffix = RAW_SUFFIX if name.lower().endswith(RAW_SUFFIX) else label_suffix(name).lower()
    if not suffix:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        raise InvalidRequest(f"The label file {shown!r} cannot be taken. Its name must end in {', '.join(SUBMITTED)}.")
    return suffix


def checked_file(path: Path, image_id: str, tag: str, info: Mapping[str, Any], scan: Path) -> CheckedFile:
    """Check a label as its later readers will: export and fine-tuning read "final" labels, viewers read the others.

    Args:
        path: the submitted file, in a folder where files may be written beside it.
        image_id: id of its scan.
        tag: tag under which the label is to be stored.
        info: information that the client sent with it.
        scan: file or folder of the scan.

    Raises:
        UnreadableVolume: if it is damaged, or no label map.
        GeometryMismatch: if it lies on another grid than the scan.
        DatasetError: if a value of a final label has no certain name, or a text is not what the tag is for.
    """
    ext = submitted_suffix(path.name)
    if ext == TEXT_SUFFIX:
        _require_text(path, image_id, tag)
        return CheckedFile(path, ext, ())
    grid = read_geometry(scan, image_id)
    label = check_label(path, info.get("label_info"), grid) if tag == FINAL else read_label_on_scan(path, grid)
    return file_to_store(path, label, grid)


def file_to_store(path: Path, label: LabelMap | CheckedLabel, grid: ScanGeometry) -> CheckedFile:
    """Return the file as it was sent if every program reads the checked label from it; else a rewritten file.

    Args:
        path: the submitted file, in a folder where files may be written beside it.
        label: the label that the check read.
        grid: grid of the scan.
    """
    ext = submitted_suffix(path.name)
    warnings = label.warnings if isinstance(label, CheckedLabel) else ()
    is_raw = ext == RAW_SUFFIX  # voxels without a header lie on the grid of the scan
    if not is_raw and is_plain(path, grid):
        return CheckedFile(path, ext, warnings)
    ext = ext if ext in WRITABLE_SUFFIXES else ".nii.gz"
    written = path.with_name(f"placed{ext}")
    write_label_map(written, label.values, for_viewers(grid.affine, grid.shape_ijk), dict(label.names))
    return CheckedFile(written, ext, warnings, sent=None if is_raw else path)


def _require_text(path: Path, image_id: str, tag: str) -> None:
    if tag == FINAL:
        raise DatasetError(
            f"The final label of image '{image_id}' is a text ({TEXT_SUFFIX}); a label map is needed. Store texts "
            "under the tag 'report' or 'vqa'."
        )
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise DatasetError(f"The text for image '{image_id}' is no JSON object. Send markups as 3D Slicer saves them.")
