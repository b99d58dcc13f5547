"""The host's own DICOM SEG: wrong names on right voxels, which our reader recognises and does not take over."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from monailabel.datastore.utils.convert import nifti_to_dicom_seg
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medvlsam2.data.dicom_seg import read_seg, written_by_host
from medvlsam2.data.readers import read_volume

SLICER_NAMES = ("spleen", "right kidney", "left kidney", "gallbladder", "liver")
"""What Slicer sends; only "right kidney" (2) and "liver" (5) were painted."""


@pytest.fixture
def host_seg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray, np.ndarray]:
    """A SEG that the host wrote, and the label map that it was made from."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the host leaves its file there
    scan = tmp_path / "scan"
    scan.mkdir()
    study, series = generate_uid(), generate_uid()
    for k in range(6):
        ct_slice(study, series, k).save_as(scan / f"{k}.dcm", write_like_original=False)
    volume = read_volume(scan)
    label = np.zeros(volume.shape_ijk, np.uint8)
    label[1:4, 1:3, 1:3] = 2
    label[5:8, 4:7, 2:5] = 5
    nib.save(nib.Nifti1Image(label, volume.affine), tmp_path / "label.nii.gz")
    info = [{"name": name, "idx": number} for number, name in enumerate(SLICER_NAMES, start=1)]
    return Path(nifti_to_dicom_seg(str(scan), str(tmp_path / "label.nii.gz"), info)), label, volume.affine


def ct_slice(study: str, series: str, k: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.is_little_endian, one.is_implicit_VR = True, False
    one.SOPClassUID, one.SOPInstanceUID, one.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, generate_uid()
    one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = "Test", "T", "", ""
    one.StudyDate, one.StudyTime, one.AccessionNumber, one.StudyID, one.ReferringPhysicianName = "", "", "", "", ""
    one.SeriesNumber, one.InstanceNumber = 1, k + 1
    one.ImagePositionPatient, one.ImageOrientationPatient = [-20, -30, 5.0 * k], [1, 0, 0, 0, 1, 0]
    one.Rows, one.Columns, one.PixelSpacing, one.SliceThickness = 8, 9, [2, 2], 5
    one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
    one.RescaleSlope, one.RescaleIntercept = 1, 0
    one.PixelData = np.arange(72, dtype=np.int16).tobytes()
    return one


def test_the_host_names_by_rank_and_codes_all_as_spleen(host_seg: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """This fault of the host is the reason for our writer; the test fails when the host no longer has the fault."""
    path, _, _ = host_seg
    segments = pydicom.dcmread(path).SegmentSequence
    assert [item.SegmentLabel for item in segments] == ["spleen", "right kidney"], "painted: right kidney, liver"
    assert {item.SegmentedPropertyTypeCodeSequence[0].CodeValue for item in segments} == {"78961009"}


def test_its_voxels_are_read_and_its_names_are_not(host_seg: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, label, affine = host_seg
    back = read_seg(path, label.shape, affine)
    np.testing.assert_array_equal(back.label_map.values, np.searchsorted([0, 2, 5], label))
    assert back.label_map.names == {}
    assert [one.name for one in back.segments] == ["spleen", "right kidney"]
    (warning,) = back.warnings
    assert warning == written_by_host(pydicom.dcmread(path))
    assert "by their rank" in warning
    assert "2 names may stand on wrong organs" in warning
