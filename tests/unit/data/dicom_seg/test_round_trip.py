"""A written SEG is read back with the same voxels, names, codes and origins by this package, highdicom and dcmqi."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.dicom_seg import Origin, read_seg, write_seg, written_by_host
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.readers import read_volume

ORIGINS = {3: Origin("AUTOMATIC", "medvlsam2-nano", "v0003"), 5: Origin("SEMIAUTOMATIC", "medvlsam2-nano", "v0003")}
PAINTED = {3: "left kidney", 5: "liver", 7: "my lesion"}


def stored(seg):
    """Return the data set after it was written to a Part 10 file and read again."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, seg, write_like_original=False)
    file.seek(0)
    return pydicom.dcmread(file)


def voxels_by_name(label):
    return {name: np.argwhere(label.values == value).tolist() for value, name in label.names.items()}


def test_every_voxel_keeps_its_name(any_scan):
    """Six names are sent and three are painted; MONAI Label's own export calls the liver a left kidney here."""
    seg = stored(write_seg(any_scan.folder, any_scan.label, origins=ORIGINS, annotator="Ann"))
    back = read_seg(seg, any_scan.shape_ijk, any_scan.label.affine)
    painted = LabelMap(any_scan.label.values, any_scan.label.affine, PAINTED)
    assert voxels_by_name(back.label_map) == voxels_by_name(painted)
    assert back.warnings == ()
    assert written_by_host(seg) is None
    told = [(one.name, one.key, one.algorithm, one.model, one.version, one.voxels) for one in back.segments]
    assert told == [
        ("left kidney", "kidney_left", "AUTOMATIC", "medvlsam2-nano", "v0003", 60),
        ("liver", "liver", "SEMIAUTOMATIC", "medvlsam2-nano", "v0003", 72),
        ("my lesion", None, "MANUAL", "", "", 1),
    ]
    assert back.segments[1].color_rgb == vocabulary.find("liver").color_rgb


def test_highdicom_reads_the_same_voxels(any_scan):
    path = any_scan.folder.parent / "seg.dcm"
    pydicom.dcmwrite(path, write_seg(any_scan.folder, any_scan.label, origins=ORIGINS), write_like_original=False)
    seg = highdicom.seg.segread(path)
    uids = [uid for _, _, uid in seg.get_source_image_uids()]
    headers = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, any_scan.folder.iterdir())}
    order = sorted(uids, key=lambda uid: place(any_scan, headers[uid]))
    assert len(order) == any_scan.shape_ijk[2]
    pixels = seg.get_pixels_by_source_instance(order, combine_segments=True, ignore_spatial_locations=False)
    numbers = {0: 0, 3: 1, 5: 2, 7: 3}
    expected = np.vectorize(numbers.get)(any_scan.label.values)
    np.testing.assert_array_equal(pixels.transpose(2, 1, 0), expected)
    (kidney,) = seg.get_segment_numbers(segment_label="left kidney")
    description = seg.get_segment_description(kidney)
    assert description.segmented_property_type == codes.SCT.Kidney
    assert description.algorithm_type.value == "AUTOMATIC"
    assert description.algorithm_identification.version == "v0003"


def place(scan, header):
    position_ras = np.array([header.ImagePositionPatient], float) * (-1, -1, 1)
    return geometry.ras_to_ijk(position_ras, scan.label.affine)[0, 2]


@pytest.mark.parametrize("name", ["axial", "oblique"])
def test_dcmqi_reads_the_same_voxels(name, request, tmp_path):
    scan = request.getfixturevalue(name)
    pydicom.dcmwrite(tmp_path / "seg.dcm", write_seg(scan.folder, scan.label), write_like_original=False)
    images, attributes = read_with_dcmqi(tmp_path / "seg.dcm", tmp_path / "out")
    (image,) = images
    array = sitk.GetArrayFromImage(image).T
    for item in attributes:
        (value,) = (value for value, name in PAINTED.items() if name == item["SegmentLabel"])
        ours = np.argwhere(scan.label.values == value)
        theirs = np.argwhere(array == item["labelID"])
        theirs_lps = [image.TransformIndexToPhysicalPoint(index) for index in theirs.tolist()]
        assert len(theirs) == len(ours)
        ours_ras = geometry.ijk_to_ras(ours, scan.label.affine)
        np.testing.assert_allclose(sorted_rows(theirs_lps), sorted_rows(ours_ras * (-1, -1, 1)), atol=0.01)
    liver = next(item for item in attributes if item["SegmentLabel"] == "liver")
    assert liver["recommendedDisplayRGBValue"] == list(vocabulary.find("liver").color_rgb)
    kidney = next(item for item in attributes if item["SegmentLabel"] == "left kidney")
    assert kidney["SegmentedPropertyTypeModifierCodeSequence"]["CodeMeaning"] == "Left"


def sorted_rows(points):
    points = np.round(np.array(points), 2)
    return points[np.lexsort(points.T)]


def read_with_dcmqi(path, folder):
    folder.mkdir()
    program = Path(sys.executable).parent / "segimage2itkimage"
    command = [program, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd", "--mergeSegments"]
    subprocess.run(command, check=True, capture_output=True)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    images = [sitk.ReadImage(str(file)) for file in sorted(folder.glob("*.nrrd"))]
    return images, [item for group in meta["segmentAttributes"] for item in group]


def test_a_seg_of_dcmqi_lies_where_its_label_map_does(tmp_path, shared_data):
    """The repository of dcmqi has the same liver as DICOM SEG and as NRRD."""
    import tarfile

    from medvlsam2.data.label_maps import read_label_map

    with tarfile.open(shared_data / "dicom" / "dcmqi_3slice_with_seg.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    volume = read_volume(tmp_path / "dcmqi_3slice" / "ct-3slice")
    back = read_seg(tmp_path / "dcmqi_3slice" / "liver.dcm", volume.shape_ijk, volume.affine)
    label = read_label_map(shared_data / "ct" / "DCMQI_3slice" / "label.nii.gz").values
    assert back.label_map.names == {1: "Liver"}
    liver = back.label_map.values == 1
    assert back.segments[0].voxels == liver.sum() == 107098
    assert liver[label == 1].all(), "the label map gave voxels that two organs share to the other one"
    assert not liver[label == 0].any()
