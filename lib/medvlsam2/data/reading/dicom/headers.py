"""The header of each DICOM slice: a single-frame file, or one frame of an enhanced (multi-frame) file.

This module uses pydicom alone and reads no pixel. Messages name files, never patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medvlsam2.data.reading.dicom.data_set import PARSE_ERRORS, damaged, read_data_set

_TAGS: Final = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesInstanceUID", "Rows", "Columns", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "NumberOfFrames", "RescaleIntercept", "RescaleType", "ModalityLUTSequence",
]  # fmt: skip

_DIRECTORY_SOP_CLASS: Final = "1.2.840.10008.1.3.10"
_VOLUME_SOP_CLASSES: Final = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130")
)
"""SOP classes of CT, MR and PET: single, enhanced and legacy-converted. Such a file without a position is damaged."""

_NO_SCANS: Final = frozenset(("SEG", "RTDOSE"))
"""Modalities whose frames have positions, but were not measured by a scanner."""


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """One slice: its file and frame, its series and its position.

    Args:
        path: file of the slice.
        frame: number of the frame in the file; 0 for a single slice.
        modality: DICOM's code, e.g. "CT".
        series_uid: SeriesInstanceUID.
        instance_uid: SOPInstanceUID; copies of a file share it.
        rows_columns: size in pixels.
        pixel_spacing_mm: distance between rows, then between columns.
        position_lps: centre of the first pixel in mm.
        orientation: direction of rows, then of columns, as unit vectors in ``_lps``.
        rescale: slope and intercept of an enhanced frame; None if the data set's own rescale applies.
        has_rescale: whether the file defines how stored values become HU.
        unit: RescaleType, the unit after the rescale, e.g. "HU"; empty if the file has none.
    """

    path: Path
    frame: int
    modality: str
    series_uid: str
    instance_uid: str
    rows_columns: tuple[int, int]
    pixel_spacing_mm: tuple[float, float]
    position_lps: Float[np.ndarray, " 3"]
    orientation: Float[np.ndarray, " 6"]
    rescale: tuple[float, float] | None = None
    has_rescale: bool = True
    unit: str = ""


def slice_headers(path: Path) -> list[SliceHeader]:
    """Return the slices of one DICOM file; an empty list for objects without slices (SEG, SR, dose, plans …).

    Raises:
        UnreadableVolume: if the header is damaged or truncated, if a slice or frame of CT, MR or PET has no position,
            or if a pixel spacing is not above 0.
    """
    dataset = read_data_set(path, tags=_TAGS)
    try:
        sop_class = str(dataset.get("SOPClassUID", ""))
        meta = getattr(dataset, "file_meta", None)
        if dataset.get("Modality") in _NO_SCANS:
            return []
        if not sop_class and meta is not None and meta.get("MediaStorageSOPClassUID") == _DIRECTORY_SOP_CLASS:
            return []
        frames = list(_frames(path, dataset))
        promised = int(dataset.get("NumberOfFrames") or 1)
    except PARSE_ERRORS as error:
        raise damaged(path, str(error) or type(error).__name__) from None
    if not frames and not sop_class:
        raise damaged(path, "its header ends early")
    if sop_class in _VOLUME_SOP_CLASSES:
        _require_places(path, frames, promised)
        return frames
    return frames if len(frames) == promised else []


def _require_places(path: Path, frames: list[SliceHeader], promised: int) -> None:
    """Refuse a scanner's file in which a slice has no position: the slice would be missing without a message."""
    if not frames:
        raise damaged(path, "its slice position, orientation or pixel spacing is absent")
    if len(frames) != promised:
        raise damaged(path, f"it holds {promised} frames, but only {len(frames)} of them have a position")


def _frames(path: Path, dataset: Dataset) -> Iterator[SliceHeader]:
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or ()), Dataset())
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    for number, group in enumerate(groups if groups else [None]):
        header = _header(path, dataset, number, () if group is None else (group, shared))
        if header is not None:
            yield header


def _header(path: Path, dataset: Dataset, number: int, groups: tuple[Dataset, ...]) -> SliceHeader | None:
    """Return one slice, or None if the header has no position, orientation or pixel spacing for it."""
    places = [dataset] if not groups else []
    for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
        places.extend(item for group in groups for item in (group.get(name) or ()))
    position = _numbers(places, "ImagePositionPatient", 3)
    orientation = _numbers(places, "ImageOrientationPatient", 6)
    spacing = _numbers(places, "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None or "Rows" not in dataset:
        return None
    if not (spacing > 0).all():
        raise ValueError(f"its pixel spacing is {spacing[0]:g} x {spacing[1]:g} mm; numbers above 0 are needed")
    transforms = [item for group in groups for item in (group.get("PixelValueTransformationSequence") or ())]
    rescale = _rescale_of(transforms[0]) if transforms else None
    units = [str(item.get("RescaleType") or "") for item in (*transforms, dataset)]
    return SliceHeader(
        path=path,
        frame=number,
        modality=str(dataset.get("Modality", "")),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        instance_uid=str(dataset.get("SOPInstanceUID", "")),
        rows_columns=(int(dataset.Rows), int(dataset.Columns)),
        pixel_spacing_mm=(float(spacing[0]), float(spacing[1])),
        position_lps=position,
        orientation=orientation,
        rescale=rescale,
        has_rescale=rescale is not None
        or dataset.get("RescaleIntercept") is not None
        or "ModalityLUTSequence" in dataset,
        unit=next((unit.strip().upper() for unit in units if unit.strip()), ""),
    )


def _rescale_of(transform: Dataset) -> tuple[float, float]:
    slope, intercept = transform.get("RescaleSlope"), transform.get("RescaleIntercept")
    if slope is None or intercept is None:
        raise ValueError("the rescale slope or intercept of a frame is empty")
    return float(slope), float(intercept)


def _numbers(places: list[Dataset], name: str, count: int) -> Float[np.ndarray, " n"] | None:
    """Return the first value of that name with ``count`` numbers; None if there is none or a number is not finite."""
    for place in places:
        value = place.get(name)
        if isinstance(value, MultiValue) and len(value) == count:
            numbers = np.array([float(number) for number in value], dtype=np.float64)
            return numbers if np.isfinite(numbers).all() else None
    return None
