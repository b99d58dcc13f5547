"""*Next Sample* in 3D Slicer: what the module makes of the reply, by its own rules.

``load`` does what the wheel's ``MONAILabel.py`` (``onNextSampleButton``) and Slicer's ``SampleData`` do: a ``path``
that exists here is loaded; else the scan is downloaded by its id and kept in a cache under the reply's ``name``. A file
of that name in the cache is taken as it is, unless the reply gives a ``checksum`` that it does not have; a download
without it is thrown away. By the ending of the name Slicer chooses its reader.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (6, 5, 4)
READERS = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Endings of single files that Slicer reads as a volume."""


def load(server: Any, cache: Path, sample: dict[str, Any]) -> sitk.Image:
    """The volume that the module shows for a sample."""
    if Path(sample.get("path") or "").exists() and sample.get("path"):
        return sitk.ReadImage(sample["path"])
    kept, checksum = cache / sample["name"], sample.get("checksum")

    def is_right() -> bool:
        return not checksum or f"SHA256:{hashlib.sha256(kept.read_bytes()).hexdigest()}" == checksum

    if not kept.exists() or not is_right():
        reply = server.get(f"/datastore/image?image={quote_plus(sample['id'])}")
        assert reply.status_code == 200, reply.text
        kept.write_bytes(reply.content)
        assert is_right(), "Slicer throws the download away"
    assert sample["name"].endswith(READERS)
    return sitk.ReadImage(str(kept))


def voxels(image: sitk.Image) -> np.ndarray:
    return np.asarray(sitk.GetArrayFromImage(image).T)


def write_slices(folder: Path, hu: np.ndarray, lean_mm: float) -> None:
    """A DICOM series: voxels of 2 x 3 x 5 mm; each slice lies so much further to the back than the last."""
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(hu.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.is_little_endian, one.is_implicit_VR = True, False
        one.SOPClassUID, one.SOPInstanceUID, one.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.PatientName, one.PatientID, one.InstanceNumber = "A^B", "AB", k + 1
        one.ImagePositionPatient, one.ImageOrientationPatient = [10, 20 + k * lean_mm, 30 + 5 * k], [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness, one.RescaleSlope, one.RescaleIntercept = [3, 2], 5, 1, 0
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.Rows, one.Columns = 15, hu.shape[1], hu.shape[0]
        one.PixelData = np.ascontiguousarray(hu[:, :, k].T).tobytes()
        pydicom.dcmwrite(folder / f"{k}.dcm", one, write_like_original=False)


@pytest.fixture
def hu() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) * 3 - 200


@pytest.fixture
def studies(tmp_path: Path, request: pytest.FixtureRequest, hu: np.ndarray) -> Path:
    """One scan: a folder with a DICOM series."""
    folder = tmp_path / "studies"
    folder.mkdir()
    write_slices(folder / "chest", hu, getattr(request, "param", 0.0))
    return folder


@pytest.mark.parametrize("studies", [0.0, 1.2], indirect=True, ids=["straight", "tilted"])
def test_a_dicom_folder_is_loaded_labelled_and_sent_back(server: Any, tmp_path: Path, hu: np.ndarray) -> None:
    """An earlier reply named a folder, which Slicer cannot load, and the download gave HTTP 404."""
    sample = server.post("/activelearning/uniform_random", json={"client_id": "slicer"}).json()
    assert sample["id"] == "chest"
    assert sample["name"] == "chest.nii.gz"
    assert str(tmp_path) not in json.dumps(sample)
    (tmp_path / "cache").mkdir()
    shown = load(server, tmp_path / "cache", sample)
    np.testing.assert_array_equal(voxels(shown), hu)
    np.testing.assert_allclose(shown.GetSpacing()[:2], (2, 3), atol=1e-3)
    np.testing.assert_allclose(shown.GetOrigin(), (10, 20, 30), atol=1e-3)
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[4:, 1:3, 2] = 1
    label = sitk.GetImageFromArray(drawn.T)
    label.CopyInformation(shown)
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    reply = server.put(
        f"/datastore/label?image={sample['id']}",
        files={"label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes())},
        data={"params": json.dumps({"label_info": [{"name": "liver", "idx": 1}]})},
    )
    assert reply.status_code == 200, reply.text
    (tmp_path / "back.nrrd").write_bytes(server.get("/datastore/label?label=chest&tag=final").content)
    np.testing.assert_array_equal(voxels(sitk.ReadImage(str(tmp_path / "back.nrrd"))), drawn)
    assert server.post("/activelearning/uniform_random", json={}).json() == {}


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_slicer_never_shows_an_older_scan_of_the_same_name(
    *, server: Any, app: Any, studies: Path, tmp_path: Path, hu: np.ndarray, kind: str
) -> None:
    """Slicer's cache uses the file name alone; it may hold another scan named "chest", or an older one."""
    (tmp_path / "cache").mkdir()

    def put(values: np.ndarray) -> None:
        for old in (*studies.glob("chest/*"), *studies.glob("chest*")):
            old.rmdir() if old.is_dir() else old.unlink()
        if kind == "folder":
            write_slices(studies / "chest", values, 0.0)
        else:
            nib.save(nib.Nifti1Image(values, np.diag([-2.0, -3.0, 5.0, 1.0])), studies / "chest.nii.gz")
        app.datastore().refresh()

    for values in (hu, hu + 7):
        put(values)
        sample = server.post("/activelearning/uniform_random", json={}).json()
        np.testing.assert_array_equal(voxels(load(server, tmp_path / "cache", sample)), values)
        again = server.post("/activelearning/uniform_random", json={}).json()
        assert (again["name"], again["checksum"]) == (sample["name"], sample["checksum"]), "it is not loaded twice"
