"""The grid of a scan without its voxels is the grid that the readers give with them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.labels.scan_geometry import read_geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume


def nifti(path: Path, hu: np.ndarray, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(hu, affine)
    image.set_sform(affine, 2)
    image.set_qform(affine @ np.diag([1, 1, 1, 1.0]) + np.eye(4, k=3) * 7, 1)
    nib.save(image, path)


def by_itk(path: Path, hu: np.ndarray, affine: np.ndarray) -> None:
    image = sitk.GetImageFromArray(np.ascontiguousarray(hu.T))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_the_grid_of_a_file_is_that_of_its_reader(tmp_path, small_hu, oblique_affine, name):
    (nifti if ".nii" in name else by_itk)(tmp_path / name, small_hu, oblique_affine)
    require_same(tmp_path / name)
    require_same(tmp_path)


@pytest.mark.parametrize("drift_mm", [0.0, 0.6])
def test_the_grid_of_a_series_is_that_of_its_reader(tmp_path, write_series, drift_mm):
    files = write_series(tmp_path / "series", step_lps=(0.0, drift_mm, 2.5))
    require_same(tmp_path / "series")
    require_same(files[0])


def require_same(path: Path) -> None:
    volume, geometry = read_volume(path, "a"), read_geometry(path, "a")
    assert geometry.shape_ijk == volume.shape_ijk
    np.testing.assert_array_equal(geometry.affine, volume.affine)
    mine, theirs = (getattr(affine, "source", None) for affine in (geometry.affine, volume.affine))
    assert (mine is None) == (theirs is None)
    if mine is not None:
        for one, other in zip(mine.other_affines, theirs.other_affines, strict=True):
            np.testing.assert_array_equal(one, other)


def test_voxels_are_not_read(tmp_path, small_hu, oblique_affine):
    """A file that ends after its header has a grid; a reader of voxels refuses it."""
    nifti(tmp_path / "a.nii", small_hu, oblique_affine)
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:352])
    assert read_geometry(tmp_path / "a.nii", "a").shape_ijk == small_hu.shape
    with pytest.raises(UnreadableVolume, match="truncated"):
        read_volume(tmp_path / "a.nii")


def test_pixels_are_not_read(tmp_path, write_series, monkeypatch):
    from medvlsam2.data.reading.dicom import series

    write_series(tmp_path / "series")
    monkeypatch.setattr(series, "hu_of_slices", lambda *_: pytest.fail("pixels were read"))
    assert read_geometry(tmp_path / "series", "a").shape_ijk == (5, 7, 9)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_what_is_no_scan_is_refused(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(UnreadableVolume, match=r"'a\.nii\.gz'"):
        read_geometry(tmp_path / "a.nii.gz", "a")
