"""The meaning of a submitted label, or the sentence why it cannot be used; export and fine-tuning agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.datasets.export import export_nnunet
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.labels import wholes
from medvlsam2.data.labels.submission import check_submission
from medvlsam2.errors import DatasetError, GeometryMismatch, MedVLSAM2Error, UnreadableVolume

AFFINE = np.array([[-4.0, 0, 0, 90], [0, -4.0, 0, 95], [0, 0, 5.0, -300], [0, 0, 0, 1]])
SHAPE = (12, 10, 8)
NAMES = [{"name": "liver", "idx": 1}, {"name": "left kidney", "idx": 2}]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    hu = np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16)
    image = nib.Nifti1Image(hu, AFFINE)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


def mask() -> np.ndarray:
    values = np.zeros(SHAPE, np.uint8)
    values[1:4, 2:4, 3:6], values[6:9, 5:9, 1:3] = 1, 2
    return values


def saved(folder: Path, name: str, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(values, affine), folder / name)
    return folder / name


def test_a_good_label(scan, tmp_path):
    checked = check_submission(saved(tmp_path, "l.nii.gz", mask()), NAMES, scan, "a")
    np.testing.assert_array_equal(checked.values, mask())
    assert checked.values.dtype == np.uint16
    np.testing.assert_allclose(checked.affine, AFFINE)
    assert dict(checked.names) == {1: "liver", 2: "left kidney"}
    assert checked.warnings == ()


def test_a_label_of_a_dicom_series(tmp_path, write_series, small_hu):
    """The gantry is tilted; SimpleITK saves the label on the upright series that it shows, our writer on the slices."""
    files = write_series(tmp_path / "series", step_lps=(0.0, 0.6, 2.5))
    values = (small_hu > 0).astype(np.uint8)
    label = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    label.CopyInformation(sitk.ReadImage(list(map(str, files))))
    for name in ("l.nrrd", "l.nii.gz"):
        sitk.WriteImage(label, str(tmp_path / name))
        checked = check_submission(tmp_path / name, [{"name": "bone", "idx": 1}], tmp_path / "series", "a")
        np.testing.assert_array_equal(checked.values, values)


SLICER_NAMES = """
spleen, right kidney, left kidney, gallbladder, liver, stomach, pancreas, right adrenal gland, left adrenal gland,
left lung, right lung, oesophagus, trachea, thyroid, small bowel, duodenum, colon, urinary bladder, prostate, heart,
aorta, inferior vena cava, sacrum, left hip, right hip, spinal cord, mandible, brainstem, larynx, left femur,
right femur, sternum, brain
"""


def test_the_33_names_of_slicer_with_three_filled(scan, tmp_path):
    """Slicer lists every segment that the server offered; values are places in that list."""
    values = np.zeros(SHAPE, np.uint8)
    values[1], values[4], values[8] = 5, 2, 3
    info = [{"name": name, "idx": place} for place, name in enumerate(SLICER_NAMES.split(","), start=1)]
    checked = check_submission(saved(tmp_path, "l.nii.gz", values), info, scan, "a")
    assert dict(checked.names) == {2: "right kidney", 3: "left kidney", 5: "liver"}


@pytest.mark.parametrize("skipped", [1, 2, 3])
def test_numbers_of_slicer_that_count_unsaved_segments_are_understood(scan, tmp_path, skipped):
    """Slicer's background and scribbles come first and are not in the file: numbers too high, order right."""
    values = np.zeros(SHAPE, np.uint8)
    values[1], values[4] = 1, 2
    info = [{"name": name, "idx": place + skipped} for place, name in ((1, "spleen"), (2, "liver"))]
    checked = check_submission(saved(tmp_path, "l.nii.gz", values), info, scan, "a")
    assert dict(checked.names) == {1: "spleen", 2: "liver"}


def test_names_in_a_file_of_slicer_win_over_the_client_s_numbers(scan, tmp_path):
    """After a segment was deleted its values have a gap, while its client numbers the segments from 1."""
    values = np.zeros(SHAPE, np.uint8)
    values[1], values[4] = 2, 3
    header = slicer_header(AFFINE, {"liver": 2, "spleen": 3}, (0, 0, 0))
    nrrd.write(str(tmp_path / "s.seg.nrrd"), values, header)
    info = [{"name": "heart", "idx": 1}, {"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}]
    for said in (info, [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}, {"name": "x", "idx": 3}], [], None):
        assert dict(check_submission(tmp_path / "s.seg.nrrd", said, scan, "a").names) == {2: "liver", 3: "spleen"}


def slicer_header(affine: np.ndarray, names: dict[str, int], offset: tuple[int, int, int] | None) -> dict[str, Any]:
    lps = np.diag([-1, -1, 1, 1]) @ affine
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
    }
    for number, (name, value) in enumerate(names.items()):
        header |= {f"Segment{number}_ID": f"S_{number}", f"Segment{number}_Name": name}
        header |= {f"Segment{number}_LabelValue": str(value), f"Segment{number}_Layer": "0"}
    if offset is not None:
        header["Segmentation_ReferenceImageExtentOffset"] = " ".join(map(str, offset))
    return header


@pytest.mark.parametrize("offset", [(1, 2, 1), None])
def test_a_segmentation_of_slicer_at_minimal_extent(scan, tmp_path, offset):
    start, box = (1, 2, 1), (slice(1, 9), slice(2, 9), slice(1, 6))
    cut = AFFINE.copy()
    cut[:3, 3] = (AFFINE @ [*start, 1])[:3]
    nrrd.write(str(tmp_path / "s.seg.nrrd"), mask()[box], slicer_header(cut, {"liver": 1, "left kidney": 2}, offset))
    checked = check_submission(tmp_path / "s.seg.nrrd", [], scan, "a")
    np.testing.assert_array_equal(checked.values, mask())


def test_a_segmentation_that_starts_elsewhere_in_its_own_scan_is_of_another_scan(scan, tmp_path):
    cut = AFFINE.copy()
    cut[:3, 3] = (AFFINE @ [1, 2, 1, 1])[:3]
    header = slicer_header(cut, {"liver": 1, "left kidney": 2}, (1, 2, 31))
    nrrd.write(str(tmp_path / "s.seg.nrrd"), mask()[1:9, 2:9, 1:6], header)
    with pytest.raises(GeometryMismatch, match=r"has shape \(8, 7, 5\), the scan \(12, 10, 8\)"):
        check_submission(tmp_path / "s.seg.nrrd", [], scan, "a")


def test_raw_bytes_of_ohif_are_in_the_order_of_the_scan(scan, tmp_path):
    (tmp_path / "l.bin").write_bytes(mask().tobytes(order="F"))
    checked = check_submission(tmp_path / "l.bin", NAMES, scan, "a")
    np.testing.assert_array_equal(checked.values, mask())
    assert dict(checked.names) == {1: "liver", 2: "left kidney"}


@pytest.mark.parametrize("count", [0, 100, 959, 961, 1920])
def test_raw_bytes_of_another_count_are_refused_with_both(scan, tmp_path, count):
    (tmp_path / "l.bin").write_bytes(bytes(count))
    with pytest.raises(UnreadableVolume, match=rf"of {count} bytes; one byte for each of the scan's 960 voxels"):
        check_submission(tmp_path / "l.bin", NAMES, scan, "a")


@pytest.mark.parametrize("name", ["l.nii.gz", "l.nii", "l.nrrd", "l.seg.nrrd", "l.mha", "l.txt", "l"])
@pytest.mark.parametrize("content", [b"", b"not an image", b"<html>404</html>"], ids=["nothing", "words", "page"])
def test_junk_is_refused(scan, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableVolume, match=r"'l"):
        check_submission(tmp_path / name, NAMES, scan, "a")


def test_a_truncated_label_is_refused(scan, tmp_path):
    whole = saved(tmp_path, "l.nii.gz", mask()).read_bytes()
    (tmp_path / "l.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableVolume, match="damaged or truncated"):
        check_submission(tmp_path / "l.nii.gz", NAMES, scan, "a")


def test_another_grid_is_refused_with_figures(scan, tmp_path):
    part = saved(tmp_path, "part.nii.gz", mask()[:6, :6, :5])
    with pytest.raises(GeometryMismatch, match=r"image 'a' lies on another grid .* shape \(6, 6, 5\), the scan"):
        check_submission(part, NAMES, scan, "a")
    moved = AFFINE.copy()
    moved[0, 3] += 2
    with pytest.raises(GeometryMismatch, match="corners lie up to 2 mm from the scan's"):
        check_submission(saved(tmp_path, "moved.nii.gz", mask(), moved), NAMES, scan, "a")


def test_an_empty_label_is_refused(scan, tmp_path):
    with pytest.raises(DatasetError, match=r"is empty\. Paint something"):
        check_submission(saved(tmp_path, "l.nii.gz", mask() * 0), NAMES, scan, "a")


@pytest.mark.parametrize("info", [None, [], NAMES[:1], [{"name": "liver", "idx": 7}]])
def test_a_value_without_a_name_is_refused(scan, tmp_path, info):
    with pytest.raises(DatasetError, match=r"holds the values \[1, 2\].*does not say for certain"):
        check_submission(saved(tmp_path, "l.nii.gz", mask()), info, scan, "a")


def test_names_of_the_file_and_other_names_of_the_client_are_refused(scan, tmp_path):
    """A mask of this server was repainted and renamed; its header still has the old name."""
    write_label_map(tmp_path / "l.nrrd", mask(), AFFINE, {1: "liver", 2: "left kidney"})
    renamed = [{"name": "spleen", "idx": 1}, NAMES[1]]
    with pytest.raises(DatasetError, match="its file names them in one way and its label_info in another"):
        check_submission(tmp_path / "l.nrrd", renamed, scan, "a")
    same = [{"name": "Liver", "idx": 1}, {"name": "kidney_left", "idx": 2}]
    assert dict(check_submission(tmp_path / "l.nrrd", same, scan, "a").names) == {1: "liver", 2: "left kidney"}


def test_a_value_that_two_segments_of_a_file_claim_has_no_name(scan, tmp_path):
    header = slicer_header(AFFINE, {"liver": 1, "left kidney": 2, "spleen": 1}, (0, 0, 0))
    nrrd.write(str(tmp_path / "s.seg.nrrd"), mask(), header)
    with pytest.raises(DatasetError, match="does not say for certain"):
        check_submission(tmp_path / "s.seg.nrrd", [], scan, "a")


def test_warnings_for_the_annotator(scan, tmp_path):
    label = saved(tmp_path, "l.nii.gz", mask())
    unknown = check_submission(label, [NAMES[0], {"name": "odd one", "idx": 2}], scan, "a")
    assert dict(unknown.names) == {1: "liver", 2: "odd one"}
    assert "'odd one' is no name that the model knows" in unknown.warnings[0]
    whole = check_submission(label, [{"name": "kidneys", "idx": 1}, NAMES[1]], scan, "a")
    assert "'kidneys' and its part 'left kidney' are both segments" in whole.warnings[0]


def test_one_structure_under_two_values_gives_a_warning(scan, tmp_path):
    path = saved(tmp_path, "l.nii.gz", mask())
    for one, other in (("liver", "liver"), ("liver", "Hepar"), ("Left Kidney", "kidney_left"), ("my mass", "My  Mass")):
        info = [{"name": one, "idx": 1}, {"name": other, "idx": 2}]
        (told,) = [w for w in check_submission(path, info, scan, "a").warnings if "one structure" in w]
        assert told.startswith(f"The values 1 ('{one}') and 2 ('{' '.join(other.split())}') are named")
    for info in (NAMES, [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}, {"name": "Hepar", "idx": 3}]):
        assert not [w for w in check_submission(path, info, scan, "a").warnings if "one structure" in w]


@pytest.mark.parametrize(
    ("top", "scaled"),
    [(2, True), (9, True), (117, True), (2, False), (9, False)],
    ids=["2 scaled", "9 scaled", "117 scaled", "2 saved again", "9 saved again"],
)
def test_values_that_nibabel_scaled_are_rounded(scan, tmp_path, top, scaled):
    """Floats were stored in 8 bits with a factor, and perhaps saved again as floats: 0.9961 stands for 1."""
    values = np.random.default_rng(1).permutation(np.resize(np.arange(top + 1), np.prod(SHAPE))).reshape(SHAPE)
    image = nib.Nifti1Image(values.astype(float), AFFINE)
    image.header.set_data_dtype(np.uint8)
    nib.save(image, tmp_path / "l.nii.gz")
    if not scaled:
        saved(tmp_path, "l.nii.gz", nib.load(tmp_path / "l.nii.gz").get_fdata(dtype=np.float32))
    if top < 255 and top != 1:
        assert np.any(np.asarray(nib.load(tmp_path / "l.nii.gz").dataobj) != values)
    info = [{"name": f"part {value}", "idx": value} for value in range(1, top + 1)]
    np.testing.assert_array_equal(check_submission(tmp_path / "l.nii.gz", info, scan, "a").values, values)


@pytest.mark.parametrize("values", [(0, 0.5, 1), (0, 0.97, 1), (0, 1, np.nan), (0, 1, np.inf), (-1, 0, 1), (0, 65536)])
def test_what_is_no_label_map_is_refused(scan, tmp_path, values):
    label = saved(tmp_path, "l.nii.gz", np.resize(np.array(values, np.float32), SHAPE))
    with pytest.raises(UnreadableVolume, match=r"whole numbers|NaN|not finite"):
        check_submission(label, NAMES, scan, "a")


def test_a_probability_in_8_bits_is_no_label_map(scan, tmp_path):
    image = nib.Nifti1Image(np.linspace(0, 1, np.prod(SHAPE)).reshape(SHAPE), AFFINE)
    image.header.set_data_dtype(np.uint8)
    nib.save(image, tmp_path / "p.nii.gz")
    with pytest.raises(UnreadableVolume, match="with fractions"):
        check_submission(tmp_path / "p.nii.gz", NAMES, scan, "a")


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_scan_with_mirrored_transforms_needs_a_label_with_both_transforms(tmp_path, mirrored):
    """Left and right would be a guess, unless the label's header has both transforms too."""
    other = AFFINE @ np.diag([-1.0, 1, 1, 1])
    other[:3, 3] = (AFFINE @ [SHAPE[0] - 1, 0, 0, 1])[:3]
    image = nib.Nifti1Image(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE), AFFINE)
    image.set_sform(AFFINE, 2)
    image.set_qform(other, 1)
    nib.save(image, tmp_path / "a.nii.gz")
    if mirrored:
        for affine in (AFFINE, other):
            label = sitk.GetImageFromArray(np.ascontiguousarray(mask().T))
            lps = np.diag([-1, -1, 1, 1]) @ affine
            label.SetSpacing((4, 4, 5))
            label.SetDirection((lps[:3, :3] / [4, 4, 5]).ravel().tolist())
            label.SetOrigin(lps[:3, 3].tolist())
            sitk.WriteImage(label, str(tmp_path / "l.nrrd"))
            with pytest.raises(GeometryMismatch, match="by the scan's sform and by its qform"):
                check_submission(tmp_path / "l.nrrd", NAMES, tmp_path / "a.nii.gz", "a")
    else:
        nib.save(nib.Nifti1Image(mask(), None, image.header), tmp_path / "l.nii.gz")
        checked = check_submission(tmp_path / "l.nii.gz", NAMES, tmp_path / "a.nii.gz", "a")
        np.testing.assert_array_equal(checked.values, mask())


def test_an_unreadable_scan_is_refused_with_the_reason(tmp_path, scan):
    label = saved(tmp_path, "l.nii.gz", mask())
    with pytest.raises(UnreadableVolume, match=r"'gone\.nii\.gz'"):
        check_submission(label, NAMES, tmp_path / "gone.nii.gz", "a")


BAD_INFO: list[Any] = [
    {"liver": 1, "left kidney": 2},
    ["liver", "left kidney"],
    "liver",
    7,
    True,
    [None],
    [[]],
    [{"idx": 1}],
    [{"name": None, "idx": 1}, {"name": "left kidney", "idx": 2}],
    [{"name": 5, "idx": 1}],
    [{"name": " \t", "idx": 1}],
    [{"name": "x" * 300, "idx": 1}],
    [{"name": "liv\u202eer", "idx": 1}],
    [{"name": "liver\udc80", "idx": 1}],
    [{"name": "liver", "idx": True}],
    [{"name": "liver", "idx": 1.5}],
    [{"name": "liver", "idx": float("nan")}],
    [{"name": "liver", "idx": float("inf")}],
    [{"name": "liver", "idx": -1}],
    [{"name": "liver", "idx": 0}],
    [{"name": "liver", "idx": 65536}],
    [{"name": "liver", "idx": "9" * 400}],
    [{"name": "liver", "idx": "one"}],
    [{"name": "liver", "idx": "²"}],
    [{"name": "liver", "idx": [1]}],
    [{"name": "liver", "idx": {}}],
    [{"name": "liver", "idx": 1, "labelID": 2}],
    [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 1}],
    [{"name": "liver", "idx": 2}, {"name": "spleen", "idx": "2"}],
    [{"name": "liver", "idx": 1}, {"name": "spleen"}],
]


@pytest.mark.parametrize("info", BAD_INFO, ids=lambda info: repr(info)[:40])
def test_malformed_label_info_is_refused(scan, tmp_path, info):
    values = mask()
    with pytest.raises(DatasetError, match="label_info of image 'a'"):
        check_submission(saved(tmp_path, "l.nii.gz", values), info, scan, "a")


def test_one_bad_label_never_ends_an_export(tmp_path):
    """Each of them is listed with its sentence; the good one is exported."""
    studies = tmp_path / "studies"
    (studies / "labels" / "final").mkdir(parents=True)
    entries: dict[str, Any] = {f"bad{number:02d}": {"label_info": info} for number, info in enumerate(BAD_INFO)}
    entries |= {"text": "words", "list": [1], "none": None, "good": {"label_info": NAMES}}
    objects: dict[str, Any] = {}
    for image_id, info in entries.items():
        saved(studies, f"{image_id}.nii.gz", np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16))
        saved(studies / "labels" / "final", f"{image_id}.nii.gz", mask())
        objects[image_id] = {"image": {"ext": ".nii.gz"}, "labels": {"final": {"ext": ".nii.gz", "info": info}}}
    for image_id, label in (("no entry", None), ("words", "x"), ("no file", {"ext": ".nrrd"}), ("number", {"ext": 5})):
        saved(studies, f"{image_id}.nii.gz", np.zeros(SHAPE, np.int16))
        objects[image_id] = {"image": {"ext": ".nii.gz"}, "labels": {"final": label}}
    record = {"images_dir": ".", "labels_dir": "labels", "objects": objects}
    (studies / "datastore_v2.json").write_text(json.dumps(record), encoding="utf-8")
    exported = export_nnunet(studies, tmp_path / "raw")
    assert list(exported.cases) == ["good"]
    listed = [sentence for sentence in exported.sentences if sentence.startswith("Left out: ")]
    no_label_at_all = {"no entry", "words"}
    assert len(listed) == len(objects.keys() - no_label_at_all - {"good"})


def test_names_of_people_are_in_no_message(scan, tmp_path):
    """A segment's name is free text and messages are logged."""
    label = saved(tmp_path, "l.nii.gz", mask())
    for info in ([{"name": "Erika Mustermann", "idx": 9}], [{"name": "Erika Mustermann", "idx": [1]}], ["Mustermann"]):
        with pytest.raises(MedVLSAM2Error) as caught:
            check_submission(label, info, scan, "a")
        assert "Mustermann" not in str(caught.value)


def test_the_export_warns_if_a_whole_and_its_part_are_both_segments(tmp_path):
    studies = tmp_path / "studies"
    (studies / "labels" / "final").mkdir(parents=True)
    saved(studies, "a.nii.gz", np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16))
    saved(studies / "labels" / "final", "a.nii.gz", mask())
    info = {"label_info": [{"name": "kidneys", "idx": 1}, NAMES[1]]}
    entry = {"image": {"ext": ".nii.gz"}, "labels": {"final": {"ext": ".nii.gz", "info": info}}}
    (studies / "datastore_v2.json").write_text(json.dumps({"objects": {"a": entry}}), encoding="utf-8")
    said = export_nnunet(studies, tmp_path / "raw").sentences
    assert any("Image 'a': 'kidneys' and its part 'left kidney' are both segments" in sentence for sentence in said)


def test_a_whole_has_the_voxels_of_its_parts(tmp_path):
    """For evaluation and training "kidneys" has the voxels of both kidneys, not only those outside the left kidney."""
    found = wholes.masks(mask(), {1: "kidneys", 2: "kidney_left"})
    np.testing.assert_array_equal(found["kidneys"], mask() > 0)
    np.testing.assert_array_equal(found["kidney_left"], mask() == 2)
    twice = wholes.masks(mask(), {1: "liver", 2: "liver"})
    np.testing.assert_array_equal(twice["liver"], mask() > 0)
