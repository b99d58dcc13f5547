"""Matching of the slices of a label map to the scan's DICOM slices, by position.

File names, instance numbers and the order of slices are not used. Localizers, other phases and SEGs beside the scan
lie elsewhere or belong to other series, and are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from jaxtyping import Float
from pydicom.dataset import Dataset

from medvlsam2 import geometry
from medvlsam2.data.dicom_seg.parsing import PARSE_ERRORS, numbers
from medvlsam2.errors import DatasetError, GeometryMismatch

PLACE_TOLERANCE: Final = 0.25
"""Largest distance between a corner of a DICOM slice and the same corner of the label map's slice, in voxels.

Rounded positions stay far below this bound. A label map that is shifted by half a voxel exceeds it and is refused."""
_DERIVED: Final = frozenset(("SEG", "RTSTRUCT", "RTDOSE", "SR", "PR", "KO", "REG"))


@dataclass(frozen=True, eq=False)
class SourceSlice:
    """One slice of the scan.

    Args:
        header: data set of the slice's file, without pixels.
        frame: number of the frame, from 1, in a multi-frame file; None in a file of one slice.
        position_lps: centre of the first pixel in mm.
        orientation: direction of rows, then of columns, as unit vectors in ``_lps``.
        pixel_spacing_mm: distance between rows, then between columns.
    """

    header: Dataset
    frame: int | None
    position_lps: Float[np.ndarray, " 3"]
    orientation: Float[np.ndarray, " 6"]
    pixel_spacing_mm: Float[np.ndarray, " 2"]


def slices_of_grid(
    source: Path | Sequence[Dataset], shape_ijk: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]
) -> list[SourceSlice]:
    """Return the DICOM slice of each slice k of a label map's grid.

    Args:
        source: folder with the files of the series, or their data sets.
        shape_ijk: columns, rows, slices of the label map.
        affine: affine of the label map, 4x4, ``_ijk`` voxel centre to ``_ras`` mm, as the scan's reader returns it.

    Raises:
        GeometryMismatch: if a slice of the grid has no DICOM slice.
        DatasetError: if the source holds no DICOM slices.
    """
    headers = _headers(source) if isinstance(source, Path) else list(source)
    found: dict[str, dict[int, SourceSlice]] = defaultdict(dict)
    count = 0
    for header in headers:
        if header.get("Modality") in _DERIVED:
            continue
        for source_slice in _frames(header):
            count += 1
            k = _slice_number(source_slice, shape_ijk, affine)
            if k is not None:
                found[str(header.get("SeriesInstanceUID", ""))].setdefault(k, source_slice)
    if not count:
        raise DatasetError(
            f"{len(headers)} DICOM files were given as the scan of a label, but none has a slice with a position. "
            "Give the files of the scan itself."
        )
    best: dict[int, SourceSlice] = max(found.values(), key=len, default={})
    if len(best) < shape_ijk[2]:
        # The slices of one scan may have a series UID each: use the slices of all series together.
        best = {k: source_slice for series in reversed(found.values()) for k, source_slice in series.items()}
    missing = [k for k in range(shape_ijk[2]) if k not in best]
    if missing:
        raise GeometryMismatch(
            f"The label has {shape_ijk[2]} slices, but {len(missing)} of them (the first is number {missing[0]}) lie "
            f"on none of the {count} DICOM slices given. Give the series that was labelled."
        )
    return [best[k] for k in range(shape_ijk[2])]


def _headers(folder: Path) -> list[Dataset]:
    headers: list[Dataset] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            if _looks_like_dicom(path):
                headers.append(pydicom.dcmread(path, stop_before_pixels=True, force=True))
        except PARSE_ERRORS:
            continue
    return headers


def _looks_like_dicom(path: Path) -> bool:
    """Return whether a file has the DICOM mark, or starts with a tag of group 2 or 8 as files of old archives do."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or start[:2] in {b"\2\0", b"\10\0"}


def _frames(header: Dataset) -> Iterator[SourceSlice]:
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        single = _slice([header], header, None)
        if single is not None:
            yield single
        return
    shared = list(header.get("SharedFunctionalGroupsSequence") or ())
    for number, group in enumerate(groups, start=1):
        frame = _slice(_macros([group, *shared]), header, number)
        if frame is not None:
            yield frame


def _macros(groups: Sequence[Dataset]) -> list[Dataset]:
    """Return the items of the functional groups that hold the position of a frame."""
    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return [item for name in names for group in groups for item in (group.get(name) or ())]


def _slice(places: Sequence[Dataset], header: Dataset, frame: int | None) -> SourceSlice | None:
    position = numbers(places, "ImagePositionPatient", 3)
    orientation = numbers(places, "ImageOrientationPatient", 6)
    spacing = numbers(places, "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None:
        return None
    return SourceSlice(header, frame, position, orientation, spacing)


def _slice_number(
    source_slice: SourceSlice, shape_ijk: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]
) -> int | None:
    """Return the number k of the grid's slice with the same corners as the DICOM slice, or None if there is none."""
    if (source_slice.header.get("Columns"), source_slice.header.get("Rows")) != shape_ijk[:2]:
        return None
    right = source_slice.orientation[:3] * source_slice.pixel_spacing_mm[1] * (shape_ijk[0] - 1)
    down = source_slice.orientation[3:] * source_slice.pixel_spacing_mm[0] * (shape_ijk[1] - 1)
    corners_lps = source_slice.position_lps + np.array([np.zeros(3), right, down])
    corners_ijk = geometry.ras_to_ijk(corners_lps * (-1, -1, 1), affine)
    k = round(float(corners_ijk[0, 2]))
    expected = np.array([(0, 0, k), (shape_ijk[0] - 1, 0, k), (0, shape_ijk[1] - 1, k)])
    if not 0 <= k < shape_ijk[2] or np.abs(corners_ijk - expected).max() > PLACE_TOLERANCE:
        return None
    return k
