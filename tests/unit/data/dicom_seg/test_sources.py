"""Every scan that can be read can be labelled: enhanced, compressed, with few tags, in any character set."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pydicom
import pytest
from highdicom._module_utils import check_required_attributes
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid

from medvlsam2.data.dicom_seg import read_seg, write_seg
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import DatasetError, GeometryMismatch

MODULES = (
    "patient", "general-study", "general-series", "segmentation-series", "frame-of-reference", "general-equipment",
    "enhanced-general-equipment", "segmentation-image", "multi-frame-functional-groups", "multi-frame-dimension",
    "common-instance-reference", "sop-common",
)  # fmt: skip
"""Modules of the Segmentation IOD (PS3.3 A.51) that a SEG of a scan must have."""


def headers(scan):
    return [pydicom.dcmread(path) for path in scan.folder.iterdir()]


def stored(seg):
    file = io.BytesIO()
    pydicom.dcmwrite(file, seg, write_like_original=False)
    file.seek(0)
    return pydicom.dcmread(file)


def assert_same_label(seg, scan):
    back = read_seg(seg, scan.shape_ijk, scan.label.affine).label_map
    for value, name in back.names.items():
        (own,) = (own for own, own_name in scan.label.names.items() if own_name == name)
        np.testing.assert_array_equal(back.values == value, scan.label.values == own)
    assert len(back.names) == 3


def test_a_seg_has_every_attribute_that_dicom_requires(any_scan):
    seg = stored(write_seg(any_scan.folder, any_scan.label))
    for module in MODULES:
        check_required_attributes(seg, module)
    assert seg.file_meta.MediaStorageSOPInstanceUID == seg.SOPInstanceUID
    assert seg.SegmentationType == "BINARY"
    assert seg.NumberOfFrames == 3 + 5 + 1, "frames without voxels are left out"
    assert len(seg.PixelData) % 2 == 0
    first = headers(any_scan)[0]
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "FrameOfReferenceUID"):
        assert seg.get(keyword) == first.get(keyword)
    assert seg.SeriesInstanceUID != first.SeriesInstanceUID


def test_each_frame_names_the_slice_that_it_was_drawn_on(oblique):
    seg = stored(write_seg(oblique.folder, oblique.label))
    positions = {header.SOPInstanceUID: header.ImagePositionPatient for header in headers(oblique)}
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert group.PlanePositionSequence[0].ImagePositionPatient == positions[source.ReferencedSOPInstanceUID]
    (series,) = seg.ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == set(positions)
    order = [group.FrameContentSequence[0].DimensionIndexValues for group in seg.PerFrameFunctionalGroupsSequence]
    assert [list(values) for values in order] == sorted(map(list, order))


@pytest.mark.parametrize("files", [1, 2])
def test_frames_of_an_enhanced_ct_are_named_by_number(axial, tmp_path, files):
    """One multi-frame file, or two that share a series; the frames are in no order."""
    single = sorted(headers(axial), key=lambda header: header.InstanceNumber if "InstanceNumber" in header else 0)
    for number in range(files):
        enhanced(single[number::files]).save_as(tmp_path / f"enhanced{number}.dcm", write_like_original=False)
    folder = tmp_path / "enhanced"
    folder.mkdir()
    for number in range(files):
        (tmp_path / f"enhanced{number}.dcm").rename(folder / f"{number}.dcm")
    volume = read_volume(folder)
    np.testing.assert_allclose(volume.affine, axial.label.affine)
    seg = stored(write_seg(folder, axial.label))
    assert_same_label(seg, axial)
    frames = {}
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        for number, group in enumerate(header.PerFrameFunctionalGroupsSequence, start=1):
            frames[header.SOPInstanceUID, number] = group.PlanePositionSequence[0].ImagePositionPatient
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        place = frames[source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber]
        assert group.PlanePositionSequence[0].ImagePositionPatient == place
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == files


def enhanced(slices):
    dataset = pydicom.dcmread(slices[0].filename)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.NumberOfFrames = len(slices)
    dataset.PerFrameFunctionalGroupsSequence = []
    for one in slices:
        group, place, turn, scale = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, turn.ImageOrientationPatient = one.ImagePositionPatient, one.ImageOrientationPatient
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, -1024, "HU"
        group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [turn]
        group.PixelValueTransformationSequence = [scale]
        dataset.PerFrameFunctionalGroupsSequence.append(group)
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = slices[0].PixelSpacing
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(dataset, keyword)
    return dataset


def test_compressed_slices_need_no_decoder(axial, tmp_path):
    for header in headers(axial):
        header.compress(RLELossless, encoding_plugin="pydicom")
        header.save_as(header.filename, write_like_original=False)
    assert_same_label(stored(write_seg(axial.folder, axial.label)), axial)


def test_a_series_with_few_tags_is_enough(axial):
    """The usual converter aborts on such series (MONAILabel issue 1854)."""
    kept = {
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "PixelSpacing",
        "ImagePositionPatient", "ImageOrientationPatient",
    }  # fmt: skip
    poor = []
    for header in headers(axial):
        poor.append(Dataset({element.tag: element for element in header if element.keyword in kept}))
    seg, other = (stored(write_seg(poor, axial.label)) for _ in range(2))
    assert_same_label(seg, axial)
    for module in MODULES:
        check_required_attributes(seg, module)
    assert (seg.PatientName, seg.PatientID) == ("", "")
    assert seg.FrameOfReferenceUID == other.FrameOfReferenceUID, "two SEGs of one scan share its frame"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_a_scan_without_the_uids_that_a_seg_refers_to_is_refused(axial, keyword):
    without = headers(axial)
    for header in without:
        delattr(header, keyword)
    with pytest.raises(DatasetError, match=f"no {keyword}"):
        write_seg(without, axial.label)


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 144", "Ж^Ю"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
def test_the_patient_keeps_a_name_in_any_script(axial, charset, name):
    for header in headers(axial):
        header.SpecificCharacterSet, header.PatientName = charset, name
        header.save_as(header.filename, write_like_original=False)
    seg = stored(write_seg(axial.folder, axial.label, annotator="Ćwik^Łucja"))
    assert seg.PatientName == name
    assert seg.ContentCreatorName == "Ćwik^Łucja"
    assert seg.SpecificCharacterSet == "ISO_IR 192"


def test_values_that_break_their_format_are_copied_without_a_warning(axial):
    """A warning of pydicom would show these values, which belong to the patient."""
    for path in axial.folder.iterdir():
        content = pydicom.dcmread(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content.PatientBirthDate, content.PatientAge, content.StudyTime = "1.4.1956", "70", "noon"
        content.save_as(path, write_like_original=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seg = write_seg(axial.folder, axial.label)
        file = io.BytesIO()
        pydicom.dcmwrite(file, seg, write_like_original=False)
    assert b"1.4.1956" in file.getvalue()


def test_other_series_and_other_files_beside_the_scan_are_ignored(axial, write_series, small_hu):
    write_series(axial.folder / "phase", hu=small_hu, first_lps=(-10.0, -20.0, 31.0))
    write_series(axial.folder, hu=np.zeros((13, 11, 1), np.int16), first_lps=(-10.0, -20.0, 32.5))
    (axial.folder / "README.txt").write_text("Not DICOM.", encoding="utf-8")
    (axial.folder / "damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 40)
    pydicom.dcmwrite(axial.folder / "old_seg.dcm", write_seg(axial.folder, axial.label), write_like_original=False)
    seg = stored(write_seg(axial.folder, axial.label))
    assert_same_label(seg, axial)
    (series,) = seg.ReferencedSeriesSequence
    assert len(series.ReferencedInstanceSequence) == 9


def test_a_label_of_another_scan_is_refused(axial, oblique, write_series, tmp_path):
    with pytest.raises(GeometryMismatch, match=r"9 of them .* on none of the 9 DICOM slices"):
        write_seg(oblique.folder, axial.label)
    shifted = axial.label.affine.copy()
    shifted[2, 3] += 2.5
    with pytest.raises(GeometryMismatch, match=r"1 of them \(the first is number 8\)"):
        write_seg(axial.folder, LabelMap(axial.label.values, shifted, axial.label.names))
    mirrored = axial.label.affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    with pytest.raises(GeometryMismatch):
        write_seg(axial.folder, LabelMap(axial.label.values, mirrored, axial.label.names))
    with pytest.raises(DatasetError, match="0 DICOM files"):
        write_seg(tmp_path / "nothing", axial.label)
