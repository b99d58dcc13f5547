"""Label maps that are written and read again have identical voxels, grid and names, in any orientation of the scan."""

from __future__ import annotations

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.label_maps import read_label_map, write_label_map
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import DatasetError, UnreadableVolume

NAMES = {1: "liver", 2: "left kidney", 7: "Läsion in the right lobe"}
SHEAR = np.array([[1, 0, 0, 0], [0, 1, 0.4, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture
def labels() -> np.ndarray:
    """Labels 0 to 7 on an odd grid, no two axes alike."""
    return np.random.default_rng(5).integers(0, 8, (5, 7, 9)).astype(np.uint8)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii", "mask.nrrd", "mask.seg.nrrd"])
@pytest.mark.parametrize("grid", ["oblique", "flipped", "permuted", "sheared"])
def test_a_written_label_map_is_read_back(tmp_path, labels, oblique_affine, *, name, grid, compress):
    affine = {
        "oblique": oblique_affine,
        "flipped": oblique_affine @ np.diag([1.0, -1.0, -1.0, 1.0]),
        "permuted": oblique_affine[:, [2, 0, 1, 3]],
        "sheared": oblique_affine @ SHEAR,
    }[grid]
    write_label_map(tmp_path / name, labels, affine, NAMES, compress=compress)
    read = read_label_map(tmp_path / name)
    assert read.values.dtype == np.uint16
    np.testing.assert_array_equal(read.values, labels)
    np.testing.assert_allclose(read.affine, affine, atol=1e-4)
    assert read.names == (NAMES if "nrrd" in name else {})
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd"])
def test_a_mask_lies_on_the_grid_of_its_scan(tmp_path, small_hu, oblique_affine, name):
    nib.save(nib.Nifti1Image(small_hu, oblique_affine), tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    write_label_map(tmp_path / name, (scan.hu > 0).astype(np.uint8), scan.affine, {1: "bone"})
    read = read_label_map(tmp_path / name)
    np.testing.assert_array_equal(read.values, scan.hu > 0)
    np.testing.assert_allclose(read.affine, scan.affine, atol=1e-6)


def test_other_libraries_read_the_same_place(tmp_path, labels, oblique_affine):
    write_label_map(tmp_path / "mask.nrrd", labels, oblique_affine, NAMES)
    write_label_map(tmp_path / "mask.nii.gz", labels, oblique_affine, NAMES)
    corner = [4, 6, 8]
    expected_lps = np.diag([-1, -1, 1]) @ (oblique_affine @ [*corner, 1])[:3]
    for name in ("mask.nrrd", "mask.nii.gz"):
        image = sitk.ReadImage(str(tmp_path / name))
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(corner), expected_lps, atol=1e-3)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, labels)
    nifti = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(nifti.get_qform(), oblique_affine, atol=1e-3)
    assert nifti.header.get_xyzt_units()[0] == "mm"


def test_an_uncompressed_nrrd_ends_in_the_raw_voxels_in_file_order(tmp_path, labels, oblique_affine):
    write_label_map(tmp_path / "mask.nrrd", labels, oblique_affine, NAMES, compress=False)
    content = (tmp_path / "mask.nrrd").read_bytes()
    assert content[-labels.size :] == labels.tobytes(order="F")
    values, header = nrrd.read(str(tmp_path / "mask.nrrd"))
    assert (header["type"], header["encoding"], header["sizes"].tolist()) == (
        "unsigned char",
        "raw",
        [5, 7, 9],
    )
    np.testing.assert_array_equal(values, labels)


def test_compressed_is_smaller(tmp_path, oblique_affine):
    blank = np.zeros((50, 50, 50), np.uint8)
    write_label_map(tmp_path / "a.nrrd", blank, oblique_affine, {})
    write_label_map(tmp_path / "b.nrrd", blank, oblique_affine, {}, compress=False)
    assert (tmp_path / "a.nrrd").stat().st_size < 2_000
    assert (tmp_path / "b.nrrd").stat().st_size > 125_000


@pytest.mark.parametrize(("high", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)])
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd"])
def test_the_smallest_type_that_fits_is_written(tmp_path, high, dtype, name):
    values = np.zeros((3, 4, 5), np.int64)
    values[2, 3, 4] = high
    write_label_map(tmp_path / name, values, np.eye(4), {high: "last"})
    np.testing.assert_array_equal(read_label_map(tmp_path / name).values, values)
    if name == "mask.nii.gz":
        assert nib.load(tmp_path / name).get_data_dtype() == dtype
    else:
        assert nrrd.read(str(tmp_path / name))[0].dtype == dtype


def test_a_segmentation_of_slicer_is_read_with_its_names(tmp_path, labels):
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([0.7, 0.9, 2.5]),
        "space origin": [1.0, 2.0, 3.0],
        "Segment0_ID": "Segment_4", "Segment0_LabelValue": "7", "Segment0_Name": "liver",
        "Segment1_ID": "Segment_5", "Segment1_LabelValue": "2", "Segment1_Name": "left renal cyst",
        "Segment2_Name": "without a value",
    }  # fmt: skip
    nrrd.write(str(tmp_path / "slicer.seg.nrrd"), labels, header)
    read = read_label_map(tmp_path / "slicer.seg.nrrd")
    assert read.names == {2: "left renal cyst", 3: "without a value", 7: "liver"}
    np.testing.assert_array_equal(read.values, labels)
    np.testing.assert_allclose(read.affine[:3, 3], (-1, -2, 3))


def test_overlapping_segments_are_refused(tmp_path):
    layers = np.zeros((2, 5, 7, 9), np.uint8)
    header = {
        "space": "left-posterior-superior",
        "kinds": ["list", "domain", "domain", "domain"],
        "space directions": np.vstack([np.full(3, np.nan), np.eye(3)]),
        "space origin": [0.0, 0.0, 0.0],
    }
    nrrd.write(str(tmp_path / "layers.seg.nrrd"), layers, header)
    with pytest.raises(UnreadableVolume, match=r"2 values per voxel .* overlapping segments"):
        read_label_map(tmp_path / "layers.seg.nrrd")


@pytest.mark.parametrize(
    ("values", "said"),
    [([-1, 2], "from -1 to 2"), ([0.25, 1], "from 0.25 to 1 with fractions"), ([0, 70000], "to 70000")],
)
def test_an_image_or_a_probability_is_refused_with_its_range(tmp_path, values, said):
    array = np.resize(np.array(values, np.float32), (3, 4, 5))
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "probability.nii.gz")
    with pytest.raises(UnreadableVolume, match=r"'probability\.nii\.gz'") as caught:
        read_label_map(tmp_path / "probability.nii.gz")
    assert said in str(caught.value)


def test_whole_numbers_stored_as_floats_are_labels(tmp_path, labels):
    nib.save(nib.Nifti1Image(labels.astype(np.float32), np.eye(4)), tmp_path / "float.nii.gz")
    np.testing.assert_array_equal(read_label_map(tmp_path / "float.nii.gz").values, labels)


@pytest.mark.parametrize("high", [-1, 65536])
def test_values_that_do_not_fit_are_not_written(tmp_path, high):
    with pytest.raises(DatasetError, match=str(high)):
        write_label_map(tmp_path / "mask.nrrd", np.full((3, 4, 5), high), np.eye(4), {})
    assert list(tmp_path.iterdir()) == []


def test_other_suffixes_are_not_written(tmp_path, labels):
    with pytest.raises(DatasetError, match=r"'mask\.png' cannot be written; .*\.nii\.gz"):
        write_label_map(tmp_path / "mask.png", labels, np.eye(4), {})


def test_a_failed_write_leaves_the_old_file(tmp_path, labels):
    target = tmp_path / "mask.nrrd"
    write_label_map(target, labels, np.eye(4), NAMES)
    with pytest.raises(RuntimeError):
        write_label_map(target, labels, np.zeros((4, 4)), NAMES)
    np.testing.assert_array_equal(read_label_map(target).values, labels)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.nrrd"]


def test_names_cannot_break_the_header(tmp_path, labels):
    write_label_map(tmp_path / "mask.nrrd", labels, np.eye(4), {1: "two\nlines := and\tmore"})
    assert read_label_map(tmp_path / "mask.nrrd").names == {1: "two lines := and more"}


def test_the_real_labels_are_read(shared_data):
    labels = read_label_map(shared_data / "ct" / "TS_abdo" / "label.nii.gz")
    scan = read_volume(shared_data / "ct" / "TS_abdo" / "image.nii.gz")
    assert labels.values.shape == scan.shape_ijk
    np.testing.assert_allclose(labels.affine, scan.affine, atol=1e-3)
    assert len(np.unique(labels.values)) == 62
