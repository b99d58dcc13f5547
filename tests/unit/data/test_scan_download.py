"""One file for a viewer: ITK opens it at the place of the scan and with the scan's Hounsfield units."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2 import geometry
from medvlsam2.data import scan_download
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume

TILT_DEG = 12.0


def itk_affine(image):
    """Return the transform from voxels to RAS mm that an ITK program uses."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return geometry.ras_to_lps_affine(affine)


def test_a_dicom_folder_becomes_a_nifti_file_on_its_grid(tmp_path, write_series, small_hu):
    write_series(tmp_path / "chest")
    assert not scan_download.loads_as_it_is(tmp_path / "chest")
    assert scan_download.download_name(tmp_path / "chest", "chest") == "chest.nii.gz"
    made = scan_download.as_one_file(tmp_path / "chest", tmp_path / "cache", "chest")
    opened = sitk.ReadImage(str(made))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(opened).T, small_hu)
    by_hand = np.diag([-1, -1, 1, 1]) @ [[0.7, 0, 0, -10], [0, 0.9, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(itk_affine(opened), by_hand, atol=1e-5)
    np.testing.assert_allclose(nib.load(made).affine, by_hand, atol=1e-5)


@pytest.mark.parametrize("drift_mm", [0.001, 0.02, 2.5 * np.tan(np.radians(TILT_DEG))])
def test_a_sheared_stack_is_opened_by_itk_and_keeps_its_own_affine(tmp_path, write_series, small_hu, drift_mm):
    write_series(tmp_path / "tilted", step_lps=(0.0, drift_mm, 2.5))
    scan_download.write_scan_as_nifti(tmp_path / "tilted", tmp_path / "tilted.nii.gz")
    np.testing.assert_allclose(
        nib.load(tmp_path / "tilted.nii.gz").affine, read_volume(tmp_path / "tilted").affine, atol=1e-5
    )
    opened = sitk.ReadImage(str(tmp_path / "tilted.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(opened).T, small_hu)
    np.testing.assert_allclose(itk_affine(opened)[:3, 3], (10, 20, 30), atol=1e-4)
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(small_hu.shape) - 1)
    own = geometry.ijk_to_ras(corners, read_volume(tmp_path / "tilted").affine)
    shown = geometry.ijk_to_ras(corners, itk_affine(opened))
    assert np.linalg.norm(own - shown, axis=1).max() <= drift_mm * small_hu.shape[2]


def test_a_sheared_nifti_without_a_second_transform_is_made_loadable(tmp_path, small_hu):
    sheared = np.array([[-0.7, 0, 0.3, 10], [0, -0.9, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(small_hu, sheared)
    image.set_sform(sheared, 1)
    image.set_qform(sheared, 0)
    nib.save(image, tmp_path / "lean.nii.gz")
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(tmp_path / "lean.nii.gz"))
    assert not scan_download.loads_as_it_is(tmp_path / "lean.nii.gz")
    made = scan_download.as_one_file(tmp_path / "lean.nii.gz", tmp_path / "cache", "lean")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(made))).T, small_hu)
    np.testing.assert_allclose(nib.load(made).affine, sheared, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "alone"),
    [("a.nii.gz", True), ("a.nii", True), ("a.nrrd", True), ("a.mha", True), ("a.mhd", False), ("a.nhdr", False)],
)
def test_a_header_without_its_voxels_is_not_sent_alone(tmp_path, small_hu, name, alone):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(small_hu.T), str(path))
    assert scan_download.loads_as_it_is(path) is alone
    assert scan_download.download_name(path, "scan.1") == (f"scan.1{path.name[1:]}" if alone else "scan.1.nii.gz")
    if not alone:
        made = scan_download.as_one_file(path, tmp_path / "cache", "scan.1")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(made))).T, small_hu)


def test_a_nrrd_header_with_a_data_file_is_not_sent_alone(tmp_path, small_hu):
    sitk.WriteImage(sitk.GetImageFromArray(small_hu.T), str(tmp_path / "a.nhdr"))
    os.rename(tmp_path / "a.nhdr", tmp_path / "a.nrrd")
    assert not scan_download.loads_as_it_is(tmp_path / "a.nrrd")


def test_one_dicom_file_stands_for_its_series(tmp_path, write_series, small_hu):
    write_series(tmp_path / "chest")
    one = next(iter((tmp_path / "chest").iterdir()))
    assert not scan_download.loads_as_it_is(one)
    made = scan_download.as_one_file(one, tmp_path / "cache", "chest")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(made))).T, small_hu)


def test_the_file_is_kept_until_the_scan_changes(tmp_path, write_series):
    write_series(tmp_path / "chest")
    first = scan_download.as_one_file(tmp_path / "chest", tmp_path / "cache", "chest")
    made_at = first.stat().st_mtime_ns
    assert scan_download.as_one_file(tmp_path / "chest", tmp_path / "cache", "chest") == first
    assert first.stat().st_mtime_ns == made_at
    next(iter((tmp_path / "chest").iterdir())).touch()
    assert scan_download.as_one_file(tmp_path / "chest", tmp_path / "cache", "chest") != first
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_an_unreadable_scan_leaves_nothing_behind(tmp_path):
    (tmp_path / "broken.mhd").write_text("NDims = 3\nElementDataFile = gone.raw\n", encoding="utf-8")
    with pytest.raises(UnreadableVolume):
        scan_download.as_one_file(tmp_path / "broken.mhd", tmp_path / "cache", "broken")
    assert list((tmp_path / "cache").iterdir()) == []
    assert not scan_download.loads_as_it_is(tmp_path / "absent.nii.gz")
