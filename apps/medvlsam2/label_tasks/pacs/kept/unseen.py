"""Labels of scans that the PACS does not give now: they are kept, and compared with their scan when they are sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from label_tasks.store.submissions import TEXT_SUFFIX, CheckedFile, file_to_store, submitted_suffix
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.labels.submission import RAW_SUFFIX, check_label
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.errors import PacsUnavailable, UnknownImage

_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_UID_LENGTH: Final = 64
"""Form of a DICOM UID (PS3.5 9.1)."""
_NOT_COMPARED: Final = "The label was not compared with its scan: the PACS does not give it now."


def may_be_in_pacs(image_id: str, why: PacsUnavailable | UnknownImage) -> bool:
    """Return whether an image that is not listed may still exist in the PACS.

    Args:
        image_id: id of the image.
        why: the error that says why the image is not listed.
    """
    return isinstance(why, PacsUnavailable) and len(image_id) <= _UID_LENGTH and _UID.fullmatch(image_id) is not None


def checked_alone(
    submitted: Path, image_id: str, tag: str, info: Mapping[str, Any], why: PacsUnavailable
) -> CheckedFile:
    """Check a label on its own grid and return the file to store; a cropped one keeps the header with its place.

    Args:
        submitted: the submitted file.
        image_id: id of its scan.
        tag: tag under which the label is to be stored.
        info: information that the client sent with it.
        why: the error that says why the scan is not available.

    Raises:
        PacsUnavailable: for voxels without a header: without the scan nobody can tell where such a label lies.
        UnreadableVolume: if it is no label map.
        DatasetError: if a value of a final label has no certain name.
    """
    ext = submitted_suffix(submitted.name)
    if ext == RAW_SUFFIX:
        raise why
    if ext == TEXT_SUFFIX and tag != FINAL:
        return CheckedFile(submitted, ext, (_NOT_COMPARED,))
    label = read_label_map(submitted)
    i, j, k = label.values.shape
    grid = ScanGeometry((i, j, k), label.affine, image_id)
    checked = check_label(submitted, info.get("label_info"), grid) if tag == FINAL else label
    if label.is_segmentation:
        return CheckedFile(submitted, ext, (_NOT_COMPARED,))
    return replace(file_to_store(submitted, checked, grid), warnings=(_NOT_COMPARED,))
