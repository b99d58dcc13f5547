"""SEGs of other programs are read at their own position, or refused with the reason; nothing is guessed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from medvlsam2 import geometry
from medvlsam2.data.dicom_seg import read_seg, write_seg
from medvlsam2.errors import DatasetError, GeometryMismatch, MedVLSAM2Error, UnreadableVolume


def headers_along_the_stack(scan):
    headers = [pydicom.dcmread(path) for path in scan.folder.iterdir()]
    to_k = np.linalg.inv(scan.label.affine)[2]
    return sorted(headers, key=lambda one: to_k @ [*np.multiply(one.ImagePositionPatient, (-1, -1, 1)), 1.0])


def with_highdicom(scan, pixels, segmentation_type="BINARY", **options):
    """Return a SEG that highdicom wrote; ``pixels`` are (slice, row, column) or (slice, row, column, segment)."""
    sources = headers_along_the_stack(scan)
    for source in sources:
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
            setattr(source, keyword, "")
    algorithm = highdicom.AlgorithmIdentificationSequence("theirs", codes.cid7162.ArtificialIntelligence, "1.0")
    count = pixels.shape[3] if pixels.ndim == 4 else int(pixels.max())
    segments = [
        highdicom.seg.SegmentDescription(
            number,
            f"organ {number}",
            Code("123037004", "SCT", "Anatomical Structure"),
            codes.SCT.Liver,
            "AUTOMATIC",
            algorithm,
        )
        for number in range(1, count + 1)
    ]
    return highdicom.seg.Segmentation(
        sources, pixels, segmentation_type, segments, generate_uid(), 2, generate_uid(), 1, "them", "it", "1", "2",
        content_label="SEG", **options,
    )  # fmt: skip


def test_a_seg_of_highdicom(any_scan):
    ranks = np.searchsorted([0, 3, 5, 7], any_scan.label.values).astype(np.uint8)
    seg = with_highdicom(any_scan, ranks.transpose(2, 1, 0))
    back = read_seg(seg, any_scan.shape_ijk, any_scan.label.affine)
    np.testing.assert_array_equal(back.label_map.values, ranks)
    assert back.label_map.names == {1: "organ 1", 2: "organ 2", 3: "organ 3"}
    assert [(one.algorithm, one.model, one.version) for one in back.segments] == [("AUTOMATIC", "theirs", "1.0")] * 3


@pytest.mark.parametrize("name", ["axial", "oblique"])
@pytest.mark.parametrize("order", ["LPS", "RAS"])
def test_a_seg_of_dcmqi_as_the_usual_converter_writes_it(name, order, request, tmp_path):
    """Its label map may be stored in another order of axes, as NIfTI tools have it."""
    scan = request.getfixturevalue(name)
    for header in headers_along_the_stack(scan):
        header.StudyDate = header.StudyTime = header.AccessionNumber = header.StudyID = ""
        header.PatientBirthDate = header.PatientSex = header.ReferringPhysicianName = ""
        header.save_as(header.filename, write_like_original=False)
    ranks = np.searchsorted([0, 3, 5, 7], scan.label.values).astype(np.uint8)
    image = sitk.GetImageFromArray(ranks.T)
    affine_lps = geometry.ras_to_lps_affine(scan.label.affine)
    spacing = geometry.spacing_mm(scan.label.affine)
    image.SetSpacing(spacing)
    image.SetDirection((affine_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(tmp_path / "label.nrrd"))
    segments = [
        {
            "labelID": value,
            "SegmentLabel": f"organ {value}",
            "SegmentAlgorithmType": "MANUAL",
            "SegmentedPropertyCategoryCodeSequence": code("123037004", "Anatomical Structure"),
            "SegmentedPropertyTypeCodeSequence": code("10200004", "Liver"),
        }
        for value in (1, 2, 3)
    ]
    meta = {"ContentCreatorName": "Reader1", "SeriesDescription": "x", "SeriesNumber": "300", "InstanceNumber": "1"}
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "segmentAttributes": [segments]}), encoding="utf-8")
    program = Path(sys.executable).parent / "itkimage2segimage"
    command = [program, "--inputImageList", tmp_path / "label.nrrd", "--inputDICOMDirectory", scan.folder]
    command += ["--outputDICOM", tmp_path / "seg.dcm", "--inputMetadata", tmp_path / "meta.json"]
    subprocess.run(command, check=True, capture_output=True)
    back = read_seg(tmp_path / "seg.dcm", scan.shape_ijk, scan.label.affine)
    np.testing.assert_array_equal(back.label_map.values, ranks)
    assert back.label_map.names == {1: "organ 1", 2: "organ 2", 3: "organ 3"}


def code(value, meaning):
    return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}


def test_frames_in_any_order_and_of_any_part(oblique):
    """The frames are rotated, cropped to the organ and shuffled; each frame lies at its own position."""
    seg = write_seg(oblique.folder, oblique.label)
    frames = [unpacked(seg, number) for number in range(seg.NumberOfFrames)]
    order = np.random.default_rng(1).permutation(len(frames))
    shared = seg.SharedFunctionalGroupsSequence[0]
    row, column = np.reshape(np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float), (2, 3))
    row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [f"{v:.9f}" for v in (*-column, *row)]
    shared.PixelMeasuresSequence[0].PixelSpacing = [column_mm, row_mm]
    turned, groups = [], []
    for number in order:
        frame = np.rot90(frames[number][1:-1])  # rows count along the old rows, columns against the old columns
        group = seg.PerFrameFunctionalGroupsSequence[number]
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        first = first + row * column_mm * 12 + column * row_mm
        position = Dataset()
        position.ImagePositionPatient = [f"{v:.6f}" for v in first]
        copy = Dataset(group)
        copy.PlanePositionSequence = [position]
        turned.append(frame)
        groups.append(copy)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [f"{v:.9f}" for v in (*column, *-row)]
    seg.PerFrameFunctionalGroupsSequence = groups
    seg.Rows, seg.Columns = turned[0].shape
    seg.PixelData = np.packbits(np.concatenate([one.ravel() for one in turned]), bitorder="little").tobytes()
    back = read_seg(seg, oblique.shape_ijk, oblique.label.affine)
    expected = np.searchsorted([0, 3, 5, 7], oblique.label.values)
    np.testing.assert_array_equal(back.label_map.values, expected)


def unpacked(seg, number):
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    size = seg.Rows * seg.Columns
    return bits[number * size : (number + 1) * size].reshape(seg.Rows, seg.Columns)


def test_a_label_map_seg(axial):
    """The newer storage class: values instead of bits."""
    seg = write_seg(axial.folder, axial.label)
    ranks = np.searchsorted([0, 3, 5, 7], axial.label.values).astype(np.uint8)
    seg.SOPClassUID, seg.SegmentationType = "1.2.840.10008.5.1.4.1.1.66.7", "LABELMAP"
    seg.BitsAllocated = seg.BitsStored = 8
    kidney = seg.PerFrameFunctionalGroupsSequence[:5]
    liver_and_last = [seg.PerFrameFunctionalGroupsSequence[5]]
    seg.PerFrameFunctionalGroupsSequence = [*kidney, *liver_and_last]
    seg.NumberOfFrames = 6
    seg.PixelData = b"".join(ranks[:, :, k].T.tobytes() for k in (2, 3, 4, 5, 6, 1))
    back = read_seg(seg, axial.shape_ijk, axial.label.affine)
    np.testing.assert_array_equal(back.label_map.values, ranks)


def test_a_fractional_seg_is_refused(axial):
    pixels = (axial.label.values == 5).transpose(2, 1, 0)[..., None] * 0.7
    seg = with_highdicom(axial, pixels, "FRACTIONAL")
    with pytest.raises(UnreadableVolume, match="fractional"):
        read_seg(seg, axial.shape_ijk, axial.label.affine)


def test_segments_that_share_voxels_are_named(axial):
    organ = (axial.label.values == 5).transpose(2, 1, 0)
    seg = with_highdicom(axial, np.stack([organ, organ & (np.arange(9) == 2)[:, None, None]], axis=3))
    with pytest.raises(DatasetError, match=r"'organ 1' and 'organ 2' .* share voxels \(24 on one slice\)"):
        read_seg(seg, axial.shape_ijk, axial.label.affine)


def test_a_seg_of_another_grid_is_refused(axial, oblique, tilted):
    seg = write_seg(axial.folder, axial.label)
    for other in (oblique, tilted):
        with pytest.raises(GeometryMismatch, match="beside the scan's voxels"):
            read_seg(seg, other.shape_ijk, other.label.affine)
    half = axial.label.affine @ np.diag([2.0, 2.0, 1.0, 1.0])
    with pytest.raises(GeometryMismatch, match="pixels of another size"):
        read_seg(seg, axial.shape_ijk, half)
    with pytest.raises(GeometryMismatch, match="outside the scan"):
        read_seg(seg, (13, 11, 5), axial.label.affine)


def no_positions(seg):
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence


def half_the_pixels(seg):
    seg.PixelData = seg.PixelData[: len(seg.PixelData) // 2]


def no_groups(seg):
    del seg.PerFrameFunctionalGroupsSequence


def a_ct(seg):
    seg.SOPClassUID, seg.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_positions, "no ImagePositionPatient"),
        (half_the_pixels, "damaged or truncated"),
        (no_groups, "damaged"),
        (a_ct, "modality 'CT'"),
    ],
)
def test_a_damaged_seg_is_refused_with_the_reason(axial, spoil, words):
    seg = write_seg(axial.folder, axial.label)
    spoil(seg)
    with pytest.raises(UnreadableVolume, match=words):
        read_seg(seg, axial.shape_ijk, axial.label.affine)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(axial, tmp_path, share):
    path = tmp_path / "seg.dcm"
    pydicom.dcmwrite(path, write_seg(axial.folder, axial.label), write_like_original=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MedVLSAM2Error):
        read_seg(path, axial.shape_ijk, axial.label.affine)
