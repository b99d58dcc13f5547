"""A label map becomes one DICOM SEG that says by value, and not by rank, what each voxel is.

Revisions: a SEG that replaces another names it in the Predecessor Documents Sequence (0040,A360), as newer OHIF and
Cornerstone3D do; the Segmentation IOD has no attribute of its own for that, and PS3.2 allows further ones (Standard
Extended SOP Class). It is a series of its own, whose description and numbers count on: the OHIF of MONAI Label's wheel,
and others, show the FIRST instance of a SEG series, so that a revision inside of it would show the old label as the
newest. Nothing is taken out of a PACS: :func:`current` tells which SEGs still hold.
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
"""A PACS lists series by number: labels come after scans. The host's own SEGs have the same."""


def write_seg(
    source: Path | Sequence[Dataset],
    label: LabelMap,
    *,
    origins: Mapping[int, Origin] | None = None,
    tag: str = "final",
    annotator: str = "",
    replaces: Dataset | None = None,
) -> FileDataset:
    """Make a binary SEG of a label map; write it with ``dcmwrite(path, seg, write_like_original=False)``.

    Segments are numbered from 1 in the order of their values. Names without voxels are left out; frames without
    voxels are, too. Single and multi-frame, compressed, oblique and tilted scans are allowed: pixels of the scan
    are not read, and frames lie exactly on its slices.

    Args:
        source: the scan's DICOM series: its folder, or the data sets of its files (headers suffice).
        label: on the grid of the scan as our reader gives it: i column, j row, k slice.
        origins: how each label came to be, by value; MANUAL where it is not told.
        tag: the label's tag at the server, e.g. "final".
        annotator: who submitted it.
        replaces: the SEG that this one replaces (its header suffices).

    Returns:
        The data set, with a SOP Instance UID of its own.

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
    given = origins or {}
    told = list(names.values())
    seg.SegmentSequence = [
        segment_item(numbers[value], name, label, given.get(value, Origin()), color)
        for (value, name), label, color in zip(names.items(), text.segment_labels(told), colors_of(told), strict=True)
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
        raise DatasetError("The label has no voxels, and an empty SEG says nothing. Paint something first.")
    nameless = [value for value in present if not label.names.get(value, "").strip()]
    if nameless:
        raise DatasetError(
            f"The label holds the values {present}, and {nameless} have no name. Give each value that has voxels "
            "its name."
        )
    return {value: label.names[value].strip() for value in present}


def _require_uids(header: Dataset) -> None:
    absent = [k for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID") if not header.get(k)]
    if absent:
        raise DatasetError(
            f"The scan's DICOM files have no {', '.join(absent)}, and a SEG must refer to these. "
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
    # Scans without a frame of reference: one of our own, the same for every SEG of the series.
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
    """Tag, annotator and revision; the last is never cut off."""
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
    """SOP Instance UID of the SEG that this one replaces; None where it replaces none."""
    for study in seg.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for instance in series.get("ReferencedSOPSequence") or ():
                return str(instance.ReferencedSOPInstanceUID)
    return None


def current(segs: Sequence[Dataset]) -> list[Dataset]:
    """The SEGs of a list that no other one of it replaces, in the order of the list."""
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
    """Common instance reference: the scan's files, each once, by series."""
    by_series: dict[str, dict[str, Dataset]] = {}
    for one in slices:
        item = reference(one)
        if "ReferencedFrameNumber" in item:
            del item.ReferencedFrameNumber
        by_series.setdefault(one.header.SeriesInstanceUID, {}).setdefault(one.header.SOPInstanceUID, item)
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
    """Frames are ordered by segment, then along the stack."""
    from highdicom.enum import CoordinateSystemNames
    from highdicom.seg import DimensionIndexSequence

    seg.DimensionIndexSequence = DimensionIndexSequence(coordinate_system=CoordinateSystemNames.PATIENT)
    organization = Dataset()
    organization.DimensionOrganizationUID = seg.DimensionIndexSequence[0].DimensionOrganizationUID
    seg.DimensionOrganizationSequence = [organization]


def _shared_groups(slices: Sequence[SourceSlice], label: LabelMap) -> Dataset:
    """Orientation and pixel measures, which all frames have in common."""
    first = slices[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    step_mm = round(abs(float(label.affine[:3, 2] * (-1, -1, 1) @ normal / np.linalg.norm(normal))), 6)
    orientation, measures, group = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in first.orientation]
    measures.PixelSpacing = [format_number_as_ds(float(value)) for value in first.pixel_spacing_mm]
    measures.SliceThickness = measures.SpacingBetweenSlices = format_number_as_ds(step_mm)
    group.PlaneOrientationSequence, group.PixelMeasuresSequence = [orientation], [measures]
    return group
