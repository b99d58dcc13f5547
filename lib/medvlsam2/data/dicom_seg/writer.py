"""Writer of one DICOM SEG from a label map. Names are assigned by value, never by rank.

Revisions: a SEG that replaces another SEG names it in the Predecessor Documents Sequence (0040,A360), as newer OHIF
and Cornerstone3D do. The Segmentation IOD has no attribute for a predecessor, and PS3.2 allows additional attributes
(Standard Extended SOP Class). Each revision is a new series with the next number. OHIF in MONAI Label's wheel and other
viewers show the FIRST instance of a SEG series, so a revision inside the old series would show the old label. Nothing
is deleted from a PACS: :func:`current` returns the SEGs that no other SEG replaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian, SegmentationStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from medvlsam2.data.colours import colors_of
from medvlsam2.data.dicom_seg import text
from medvlsam2.data.dicom_seg.frames import frames_of, functional_groups, packed, reference
from medvlsam2.data.dicom_seg.segments import Origin, segment_item
from medvlsam2.data.dicom_seg.source_header import copy_patient_and_study
from medvlsam2.data.dicom_seg.source_slices import SourceSlice, slices_of_grid
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.errors import DatasetError

PRODUCT: Final = "MedVL-SAM2 for MONAI Label"
SERIES_NUMBER: Final = 300
"""Series number of a first label. A PACS lists series by number, so labels come after scans. MONAI Label's own SEGs
have the same number."""


def write_seg(
    source: Path | Sequence[Dataset],
    label: LabelMap,
    *,
    origins: Mapping[int, Origin] | None = None,
    tag: str = "final",
    annotator: str = "",
    replaces: Dataset | None = None,
) -> FileDataset:
    """Return a binary SEG of a label map; write it with ``dcmwrite(path, seg, write_like_original=False)``.

    Segments are numbered from 1 in the order of their values. Names without voxels and frames without voxels are left
    out. The scan may be single-frame or multi-frame, compressed, oblique or tilted: its pixels are not read, and the
    frames lie exactly on its slices.

    Args:
        source: the scan's DICOM series: its folder, or the data sets of its files (pixels are not needed).
        label: label map on the grid of the scan as this package reads it: i column, j row, k slice.
        origins: origin of each label, by value; MANUAL for values without an entry.
        tag: the label's tag at the server, e.g. "final".
        annotator: the person who submitted the label.
        replaces: the SEG that the new SEG replaces (pixels are not needed).

    Returns:
        The data set, with a new SOP Instance UID.

    Raises:
        DatasetError: if the label is empty, a value has no name, or the scan lacks UIDs that a SEG must refer to.
        GeometryMismatch: if the label does not lie on the scan's slices.
    """
    names = _names_of_present(label)
    i, j, k = label.values.shape
    slices = slices_of_grid(source, (i, j, k), label.affine)
    _require_uids(slices[0].header)
    numbers = {value: number for number, value in enumerate(names, start=1)}
    frames = frames_of(label.values, numbers)
    seg = _instance()
    copy_patient_and_study(slices[0].header, seg)
    _add_series(seg, slices[0].header, tag, annotator, replaces)
    _add_content(seg, tag, annotator)
    _add_references(seg, slices)
    seg.Columns, seg.Rows = label.values.shape[:2]
    _add_pixel_format(seg, slices[0].header)
    known_origins = origins or {}
    shown_names = list(names.values())
    labels, colors = text.segment_labels(shown_names), colors_of(shown_names)
    seg.SegmentSequence = [
        segment_item(numbers[value], name, label, known_origins.get(value, Origin()), color)
        for (value, name), label, color in zip(names.items(), labels, colors, strict=True)
    ]
    _add_dimensions(seg)
    seg.SharedFunctionalGroupsSequence = [_shared_groups(slices, label)]
    seg.PerFrameFunctionalGroupsSequence = functional_groups(frames, slices)
    seg.NumberOfFrames = len(frames)
    seg.PixelData = packed(label.values, frames)
    seg["PixelData"].VR = "OB"
    return seg


def _names_of_present(label: LabelMap) -> dict[int, str]:
    present = [int(value) for value in np.unique(label.values) if value]
    if not present:
        raise DatasetError("The label has no voxels; a SEG needs at least one. Paint something first.")
    nameless = [value for value in present if not label.names.get(value, "").strip()]
    if nameless:
        raise DatasetError(
            f"The label holds the values {present}, but {nameless} have no name. Give a name to each value that has "
            "voxels."
        )
    return {value: label.names[value].strip() for value in present}


def _require_uids(header: Dataset) -> None:
    absent = [k for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID") if not header.get(k)]
    if absent:
        raise DatasetError(
            f"The scan's DICOM files have no {', '.join(absent)}; a SEG must refer to these. "
            "Send the series again from the scanner or the PACS."
        )


def _instance() -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SegmentationStorage, generate_uid()
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, PYDICOM_IMPLEMENTATION_UID
    seg = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    seg.is_little_endian, seg.is_implicit_VR = True, False
    seg.SpecificCharacterSet = "ISO_IR 192"
    seg.SOPClassUID, seg.SOPInstanceUID = SegmentationStorage, meta.MediaStorageSOPInstanceUID
    return seg


def _add_series(seg: FileDataset, scan: Dataset, tag: str, annotator: str, replaces: Dataset | None) -> None:
    from medvlsam2 import __version__

    seg.StudyInstanceUID = scan.StudyInstanceUID
    # A scan without a frame of reference gets one that is the same for every SEG of its series.
    seg.FrameOfReferenceUID = scan.get("FrameOfReferenceUID") or generate_uid(
        entropy_srcs=[str(scan.StudyInstanceUID), str(scan.SeriesInstanceUID), "frame of reference"]
    )
    revision = 1 if replaces is None else int(replaces.get("InstanceNumber") or 1) + 1
    seg.Modality, seg.SeriesInstanceUID = "SEG", generate_uid()
    seg.SeriesNumber, seg.InstanceNumber = SERIES_NUMBER + revision - 1, revision
    seg.SeriesDescription = _description(tag, annotator, revision)
    now = datetime.now()
    seg.SeriesDate, seg.SeriesTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    seg.Manufacturer, seg.ManufacturerModelName = PRODUCT, PRODUCT
    seg.DeviceSerialNumber, seg.SoftwareVersions = "none", __version__
    if replaces is not None:
        seg.PredecessorDocumentsSequence = [_predecessor(replaces)]


def _description(tag: str, annotator: str, revision: int) -> str:
    """Return tag, annotator and revision as a series description; the revision is never cut off."""
    end = f", revision {revision}" if revision > 1 else ""
    start = f"{tag} by {annotator}" if annotator.strip() else tag
    return text.long_string(start, text.LONG_STRING - len(end)) + end


def _predecessor(replaces: Dataset) -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = replaces.SOPClassUID, replaces.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = replaces.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = replaces.StudyInstanceUID, [series]
    return study


def predecessor_uid(seg: Dataset) -> str | None:
    """Return the SOP Instance UID of the SEG that this SEG replaces; None if it replaces none."""
    for study in seg.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for instance in series.get("ReferencedSOPSequence") or ():
                return str(instance.ReferencedSOPInstanceUID)
    return None


def current(segs: Sequence[Dataset]) -> list[Dataset]:
    """Return the SEGs of a list that no other SEG of the list replaces, in the order of the list."""
    replaced = {predecessor_uid(seg) for seg in segs}
    return [seg for seg in segs if seg.SOPInstanceUID not in replaced]


def _add_content(seg: FileDataset, tag: str, annotator: str) -> None:
    now = datetime.now().astimezone()
    seg.ContentDate = seg.InstanceCreationDate = now.strftime("%Y%m%d")
    seg.ContentTime = seg.InstanceCreationTime = now.strftime("%H%M%S.%f")
    seg.TimezoneOffsetFromUTC = now.strftime("%z")
    seg.ContentLabel = text.code_string(tag) or "SEGMENTATION"
    seg.ContentDescription = text.long_string(f"Label '{tag}' of {PRODUCT}. Research only.")
    seg.ContentCreatorName = text.person_name(annotator)


def _add_references(seg: FileDataset, slices: Sequence[SourceSlice]) -> None:
    """Add the Common Instance Reference module: each file of the scan once, grouped by series."""
    by_series: dict[str, dict[str, Dataset]] = {}
    for source_slice in slices:
        item = reference(source_slice)
        if "ReferencedFrameNumber" in item:
            del item.ReferencedFrameNumber
        header = source_slice.header
        by_series.setdefault(header.SeriesInstanceUID, {}).setdefault(header.SOPInstanceUID, item)
    seg.ReferencedSeriesSequence = []
    for series_uid, items in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = series_uid, list(items.values())
        seg.ReferencedSeriesSequence.append(series)


def _add_pixel_format(seg: FileDataset, scan: Dataset) -> None:
    seg.ImageType = ["DERIVED", "PRIMARY"]
    seg.SamplesPerPixel, seg.PhotometricInterpretation, seg.PixelRepresentation = 1, "MONOCHROME2", 0
    seg.BitsAllocated, seg.BitsStored, seg.HighBit = 1, 1, 0
    seg.SegmentationType, seg.SegmentsOverlap = "BINARY", "NO"
    seg.LossyImageCompression = "00"
    if scan.get("LossyImageCompression") == "01":
        seg.LossyImageCompression = "01"
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if scan.get(keyword):
                setattr(seg, keyword, scan.get(keyword))


def _add_dimensions(seg: FileDataset) -> None:
    """Add the dimension indices: frames are ordered by segment, then by position in the stack."""
    from highdicom.enum import CoordinateSystemNames
    from highdicom.seg import DimensionIndexSequence

    seg.DimensionIndexSequence = DimensionIndexSequence(coordinate_system=CoordinateSystemNames.PATIENT)
    organization = Dataset()
    organization.DimensionOrganizationUID = seg.DimensionIndexSequence[0].DimensionOrganizationUID
    seg.DimensionOrganizationSequence = [organization]


def _shared_groups(slices: Sequence[SourceSlice], label: LabelMap) -> Dataset:
    """Return the functional groups that all frames share: orientation and pixel measures."""
    first = slices[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    step_mm = round(abs(float(label.affine[:3, 2] * (-1, -1, 1) @ normal / np.linalg.norm(normal))), 6)
    orientation, measures, group = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in first.orientation]
    measures.PixelSpacing = [format_number_as_ds(float(value)) for value in first.pixel_spacing_mm]
    measures.SliceThickness = measures.SpacingBetweenSlices = format_number_as_ds(step_mm)
    group.PlaneOrientationSequence, group.PixelMeasuresSequence = [orientation], [measures]
    return group
