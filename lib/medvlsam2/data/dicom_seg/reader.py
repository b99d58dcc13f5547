"""Reader that turns the SEG of any program into a label map on the grid of a scan.

The position and the orientation of each frame place it on the grid, never the order of the frames. A frame that does
not lie on the scan's voxels is refused; nothing is resampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pydicom
from jaxtyping import Float, Int, UInt16
from pydicom.dataset import Dataset

from medvlsam2.data import vocabulary
from medvlsam2.data.colours import from_dicom_cielab
from medvlsam2.data.dicom_seg import text
from medvlsam2.data.dicom_seg.bits import FramePixels
from medvlsam2.data.dicom_seg.host_files import written_by_host
from medvlsam2.data.dicom_seg.parsing import PARSE_ERRORS, numbers
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.errors import DatasetError, GeometryMismatch, UnreadableVolume

GRID_TOLERANCE: Final = 0.25
"""Largest distance of a frame's corner from a voxel centre of the scan, in voxels.

Rounded positions stay far below this bound. A SEG that is shifted by half a voxel exceeds it and is refused."""
_LABEL_MAP_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.7"
_SEG_STORAGE: Final = ("1.2.840.10008.5.1.4.1.1.66.4", _LABEL_MAP_STORAGE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFacts:
    """The description of one segment in a SEG."""

    number: int
    """Segment number, which is the segment's value in the label map."""
    name: str
    """Name of the segment in the file."""
    key: str | None
    """Key of the structure that the name means; None if the vocabulary does not know the name."""
    type_code: vocabulary.Code | None
    """Segmented property type, without the side."""
    algorithm: str
    """Algorithm type as the file gives it: MANUAL, SEMIAUTOMATIC, AUTOMATIC or another text."""
    model: str
    """Name of the algorithm; empty if the file has none."""
    version: str
    """Version of the algorithm; empty if the file has none."""
    color_rgb: tuple[int, int, int] | None
    """Recommended colour, 0 to 255."""
    voxels: int
    """Number of voxels on the scan's grid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSeg:
    """The content of a SEG."""

    label_map: LabelMap
    """Label map whose values are segment numbers; without names if the SEG's names cannot be trusted."""
    segments: tuple[SegmentFacts, ...]
    """All segments of the file, also segments without voxels."""
    warnings: tuple[str, ...]
    """Sentences for the user."""


def read_seg(
    source: Path | BinaryIO | Dataset, shape_ijk: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]
) -> ReadSeg:
    """Read a binary or label-map SEG onto the grid of its scan.

    Args:
        source: a file, an open file, or the data set.
        shape_ijk: shape of the scan as this package reads it.
        affine: affine of the scan, 4x4, ``_ijk`` voxel centre to ``_ras`` mm.

    Raises:
        UnreadableVolume: if the source is no SEG, damaged or fractional, or a frame has no position.
        GeometryMismatch: if a frame with voxels does not lie on the scan's voxels.
        DatasetError: if two segments share a voxel, which a label map cannot hold.
    """
    seg = source if isinstance(source, Dataset) else _dataset(source)
    _require_readable(seg)
    try:
        values = _values(seg, shape_ijk, affine)
        counts = _voxel_counts(values)
        segments = tuple(_facts(item, counts[int(item.SegmentNumber)]) for item in seg.SegmentSequence)
        doubt = written_by_host(seg)
    except PARSE_ERRORS as error:
        raise UnreadableVolume(
            f"The SEG is damaged: a required part is absent or wrong ({type(error).__name__}). Send it again."
        ) from None
    names = {} if doubt else {facts.number: facts.name for facts in segments if facts.name}
    return ReadSeg(label_map=LabelMap(values, affine, names), segments=segments, warnings=(doubt,) if doubt else ())


def _dataset(source: Path | BinaryIO) -> Dataset:
    try:
        return pydicom.dcmread(source, force=True)
    except PARSE_ERRORS as error:
        raise UnreadableVolume(
            f"The SEG cannot be read ({type(error).__name__}): the file is damaged or no DICOM file. Send it again."
        ) from None


def _require_readable(seg: Dataset) -> None:
    if seg.get("SOPClassUID") not in _SEG_STORAGE:
        raise UnreadableVolume(
            f"The DICOM object is of modality '{str(seg.get('Modality', ''))[:16]}', not a segmentation (SEG). "
            "Give the SEG."
        )
    kind = str(seg.get("SegmentationType", ""))
    if kind == "FRACTIONAL":
        raise UnreadableVolume(
            "The SEG is fractional: its voxels hold probabilities. Binary SEGs and label-map SEGs are allowed. "
            "Threshold it first, e.g. in 3D Slicer, and store it as binary."
        )
    if kind not in {"BINARY", "LABELMAP"}:
        raise UnreadableVolume(f"The SEG is of type '{kind[:16]}'; BINARY and LABELMAP are allowed. Convert it first.")


def _values(
    seg: Dataset, shape_ijk: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]
) -> UInt16[np.ndarray, "i j k"]:
    """Return the segment numbers on the scan's grid."""
    values = np.zeros(shape_ijk, np.uint16)
    pixels = FramePixels(seg)
    shared = list(seg.get("SharedFunctionalGroupsSequence") or ())
    to_ijk = np.linalg.inv(affine)
    for number, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        frame = pixels.frame(number)
        if not frame.any():
            continue
        rows, columns = np.nonzero(frame)
        places = _places(_frame_affine([group, *shared], to_ijk), frame.shape, rows, columns, shape_ijk)
        if seg.SegmentationType == "LABELMAP":
            own = frame[rows, columns]
        else:
            own = np.full(len(rows), _segment_of([group, *shared]), np.uint16)
        _put(values, places, own, seg)
    return values


def _put(
    values: UInt16[np.ndarray, "i j k"], places: Int[np.ndarray, "n 3"], own: UInt16[np.ndarray, " n"], seg: Dataset
) -> None:
    i, j, k = places.T
    before = values[i, j, k]
    clash = (before != 0) & (before != own)
    if clash.any():
        names = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in seg.SegmentSequence}
        first, second = names.get(int(before[clash][0]), "?"), names.get(int(own[clash][0]), "?")
        raise DatasetError(
            f"The segments '{first}' and '{second}' of the SEG share voxels ({int(clash.sum())} on one slice); a "
            "label map holds one structure per voxel. Remove the overlap from one of the two segments."
        )
    values[i, j, k] = own


def _frame_affine(groups: Sequence[Dataset], to_ijk: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 3"]:
    """Return the affine from a frame's pixels to the scan's voxels.

    The three columns are the step to the next pixel column, the step to the next pixel row, and the position of the
    first pixel, all in voxels of the scan (``_ijk``).
    """
    position = _numbers(groups, "PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = _numbers(groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _numbers(groups, "PixelMeasuresSequence", "PixelSpacing", 2)
    steps_lps = np.array([orientation[:3] * spacing[1], orientation[3:] * spacing[0], position]).T
    steps_ras = np.diag([-1.0, -1.0, 1.0]) @ steps_lps
    in_ijk = to_ijk[:3, :3] @ steps_ras
    in_ijk[:, 2] += to_ijk[:3, 3]
    return np.asarray(in_ijk)


def _numbers(groups: Sequence[Dataset], sequence: str, keyword: str, count: int) -> Float[np.ndarray, " n"]:
    found = numbers((item for group in groups for item in (group.get(sequence) or ())), keyword, count)
    if found is None:
        raise UnreadableVolume(
            f"A frame of the SEG has no {keyword}, so its place in the scan is unknown. Only SEGs whose frames have "
            "positions in the patient can be read."
        )
    return found


def _places(
    frame_ijk: Float[np.ndarray, "3 3"],
    shape: tuple[int, ...],
    rows: Int[np.ndarray, " n"],
    columns: Int[np.ndarray, " n"],
    shape_ijk: tuple[int, int, int],
) -> Int[np.ndarray, "n 3"]:
    """Return the voxels (``_ijk``) of the scan that the given pixels of a frame lie on.

    Raises:
        GeometryMismatch: if the frame's pixels do not coincide with voxels, or a pixel lies outside the scan.
    """
    last_row, last_column = shape[0] - 1, shape[1] - 1
    corners = np.array([(0, 0, 1), (last_column, 0, 1), (0, last_row, 1), (last_column, last_row, 1)]) @ frame_ijk.T
    steps = np.rint(frame_ijk[:, :2])
    off = max(
        float(np.abs(corners - np.rint(corners)).max()),
        float(np.abs((frame_ijk[:, :2] - steps) * (last_column, last_row)).max()),
    )
    if off > GRID_TOLERANCE or (np.abs(steps).sum(axis=0) != 1).any():
        raise GeometryMismatch(
            f"A frame of the SEG lies up to {off:.2f} voxels beside the scan's voxels, or has pixels of another size; "
            f"at most {GRID_TOLERANCE} is allowed. Give the SEG of this scan, or resample it first."
        )
    origin = np.rint(frame_ijk[:, 2])
    places = (columns[:, None] * steps[:, 0] + rows[:, None] * steps[:, 1] + origin).astype(np.int64)
    outside = (places < 0) | (places >= shape_ijk)
    if outside.any():
        raise GeometryMismatch(
            f"The SEG has {int(outside.any(axis=1).sum())} voxels outside the scan of shape {shape_ijk} on one slice. "
            "Give the SEG of this scan."
        )
    return places


def _segment_of(groups: Sequence[Dataset]) -> int:
    items = [item for group in groups for item in (group.get("SegmentIdentificationSequence") or ())]
    return int(items[0].ReferencedSegmentNumber)


def _voxel_counts(values: UInt16[np.ndarray, "i j k"]) -> Counter[int]:
    """Count the voxels of each value, slice by slice: a count of the whole volume takes eight bytes per voxel."""
    counts: Counter[int] = Counter()
    for k in range(values.shape[2]):
        for value, voxels in zip(*np.unique(values[:, :, k], return_counts=True), strict=True):
            counts[int(value)] += int(voxels)
    return counts


def _facts(item: Dataset, voxels: int) -> SegmentFacts:
    name = _name(item)
    structure = vocabulary.lookup(name)
    algorithms = item.get("SegmentationAlgorithmIdentificationSequence") or ()
    types = item.get("SegmentedPropertyTypeCodeSequence") or ()
    lab = item.get("RecommendedDisplayCIELabValue")
    return SegmentFacts(
        number=int(item.SegmentNumber),
        name=name,
        key=structure.key if structure else None,
        type_code=_code(types[0]) if types else None,
        algorithm=str(item.get("SegmentAlgorithmType", "")),
        model=str(item.get("SegmentAlgorithmName", "") or ""),
        version=str(algorithms[0].get("AlgorithmVersion", "")) if algorithms else "",
        color_rgb=from_dicom_cielab((int(lab[0]), int(lab[1]), int(lab[2]))) if lab and len(lab) == 3 else None,
        voxels=voxels,
    )


def _name(item: Dataset) -> str:
    """Return the segment's label, or its description if this package's writer had to shorten the label."""
    label, description = (str(item.get(key) or "").strip() for key in ("SegmentLabel", "SegmentDescription"))
    return description if description and text.is_label_of(label, description) else label


def _code(item: Dataset) -> vocabulary.Code:
    return vocabulary.Code(
        str(item.get("CodeValue", "")), str(item.get("CodeMeaning", "")), str(item.get("CodingSchemeDesignator", ""))
    )
