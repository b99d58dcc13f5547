"""The scan's own DICOM slices, matched to the slices of a label map by where they lie.

File names, instance numbers and the order of slices mean nothing here. Localizers, other phases and SEGs beside
the scan lie elsewhere, or are other series, and are passed over.
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
"""How far corners of a DICOM slice may lie from the label map's, as a share of the voxel spacing."""
_DERIVED: Final = frozenset(("SEG", "RTSTRUCT", "RTDOSE", "SR", "PR", "KO", "REG"))


@dataclass(frozen=True, eq=False)
class SourceSlice:
    """One slice of the scan.

    Args:
        header: data set of its file, without pixels.
        frame: number of the frame from 1 in a multi-frame file; None in a file of one slice.
        position_lps: centre of its first pixel in mm.
        orientation: direction of rows, then of columns.
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
    """For each k of a grid the DICOM slice that lies there.

    Args:
        source: folder with the files of the series, or their data sets.
        shape_ijk: columns, rows, slices of the label map.
        affine: of the label map, ``_ijk`` voxel centre to ``_ras`` mm, as the scan's reader gives it.

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
        for one in _frames(header):
            count += 1
            k = _slice_number(one, shape_ijk, affine)
            if k is not None:
                found[str(header.get("SeriesInstanceUID", ""))].setdefault(k, one)
    if not count:
        raise DatasetError(
            f"{len(headers)} DICOM files were given as the scan of a label, and none has a slice with a position. "
            "Give the files of the scan itself."
        )
    best: dict[int, SourceSlice] = max(found.values(), key=len, default={})
    if len(best) < shape_ijk[2]:
        # A series whose slices have a series UID each: all of them together.
        best = {k: one for series in reversed(found.values()) for k, one in series.items()}
    missing = [k for k in range(shape_ijk[2]) if k not in best]
    if missing:
        raise GeometryMismatch(
            f"The label has {shape_ijk[2]} slices, and {len(missing)} of them (the first is number {missing[0]}) lie "
            f"on none of the {count} DICOM slices given. Both must be one scan: give the series that was labelled."
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
    """By DICOM's mark, or, as old archives have it, by a first tag of group 2 or 8 without one."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or start[:2] in {b"\2\0", b"\10\0"}


def _frames(header: Dataset) -> Iterator[SourceSlice]:
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        one = _slice([header], header, None)
        if one is not None:
            yield one
        return
    shared = list(header.get("SharedFunctionalGroupsSequence") or ())
    for number, group in enumerate(groups, start=1):
        one = _slice(_macros([group, *shared]), header, number)
        if one is not None:
            yield one


def _macros(groups: Sequence[Dataset]) -> list[Dataset]:
    """Items of the functional groups that say where a frame lies."""
    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return [item for name in names for group in groups for item in (group.get(name) or ())]


def _slice(places: Sequence[Dataset], header: Dataset, frame: int | None) -> SourceSlice | None:
    position = numbers(places, "ImagePositionPatient", 3)
    orientation = numbers(places, "ImageOrientationPatient", 6)
    spacing = numbers(places, "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None:
        return None
    return SourceSlice(header, frame, position, orientation, spacing)


def _slice_number(one: SourceSlice, shape_ijk: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]) -> int | None:
    """Number k of the grid's slice whose corners are this slice's, or None."""
    if (one.header.get("Columns"), one.header.get("Rows")) != shape_ijk[:2]:
        return None
    right = one.orientation[:3] * one.pixel_spacing_mm[1] * (shape_ijk[0] - 1)
    down = one.orientation[3:] * one.pixel_spacing_mm[0] * (shape_ijk[1] - 1)
    corners_lps = one.position_lps + np.array([np.zeros(3), right, down])
    corners_ijk = geometry.ras_to_ijk(corners_lps * (-1, -1, 1), affine)
    k = round(float(corners_ijk[0, 2]))
    expected = np.array([(0, 0, k), (shape_ijk[0] - 1, 0, k), (0, shape_ijk[1] - 1, k)])
    if not 0 <= k < shape_ijk[2] or np.abs(corners_ijk - expected).max() > PLACE_TOLERANCE:
        return None
    return k
