"""A submitted label's names are read for the very voxels that they were submitted with, by every reader."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.data.final_labels import final_labels
from medvlsam2.data.studies.local_scans import list_scans
from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.errors import DatasetError

LIVER = [{"name": "liver", "idx": 1}]
SPLEEN = [{"name": "spleen", "idx": 1}]


@pytest.fixture
def studies(small_hu: np.ndarray, oblique_affine: np.ndarray, tmp_path: Path) -> StudiesFolder:
    """A studies folder with one scan of a patient."""
    nib.save(nib.Nifti1Image(small_hu, oblique_affine), tmp_path / "one.nii.gz")
    folder = StudiesFolder(tmp_path, list_scans)
    folder.update_image_info("one", {"PatientID": "P7"})
    return folder


def submit(folder: StudiesFolder, affine: np.ndarray, painted: slice, info: list[dict[str, object]]) -> None:
    values = np.zeros((5, 7, 9), np.uint8)
    values[painted] = 1
    nib.save(nib.Nifti1Image(values, affine), folder.root / "sent.nii.gz")
    folder.put_label("one", "final", folder.root / "sent.nii.gz", ".nii.gz", {"label_info": info})
    (folder.root / "sent.nii.gz").unlink()


def test_headers_alone_tell_the_same_as_the_whole_scan(studies: StudiesFolder, oblique_affine: np.ndarray) -> None:
    submit(studies, oblique_affine, slice(0, 2), LIVER)
    (label,) = final_labels(studies.root)
    assert label.patient_id == "P7"
    volume, read = label.read()
    assert volume.shape_ijk == read.values.shape == (5, 7, 9)
    checked = label.check()
    assert dict(checked.names) == dict(read.names) == {1: "liver"}
    np.testing.assert_array_equal(checked.values, read.values)


def test_a_label_that_was_replaced_since_is_not_read_with_the_old_names(
    studies: StudiesFolder, oblique_affine: np.ndarray
) -> None:
    submit(studies, oblique_affine, slice(0, 2), LIVER)
    (before,) = final_labels(studies.root)
    submit(studies, oblique_affine, slice(3, 5), SPLEEN)
    for read in (before.read, before.check):
        with pytest.raises(DatasetError, match="image 'one' was submitted again while it was read"):
            read()
    (now,) = final_labels(studies.root)
    assert dict(now.check().names) == {1: "spleen"}


def test_the_same_voxels_submitted_again_are_read(studies: StudiesFolder, oblique_affine: np.ndarray) -> None:
    """The names that were looked up are those of these voxels, though the newest ones may be others."""
    submit(studies, oblique_affine, slice(0, 2), LIVER)
    (before,) = final_labels(studies.root)
    submit(studies, oblique_affine, slice(0, 2), LIVER)
    assert dict(before.check().names) == {1: "liver"}
