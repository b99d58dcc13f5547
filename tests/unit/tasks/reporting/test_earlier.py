"""A report compares only with an older DICOM scan of the same patient."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medvlsam2.errors import InvalidRequest
from medvlsam2.tasks.reporting.earlier import prior_dates


def study(folder: Path, patient: str, date: str) -> Path:
    folder.mkdir()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(folder / "1.dcm"), {}, file_meta=meta, preamble=bytes(128))
    header.is_little_endian, header.is_implicit_VR = True, False
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    header.PatientID, header.StudyDate = patient, date
    header.save_as(folder / "1.dcm", write_like_original=False)
    return folder


def test_the_dates_of_two_studies_of_one_patient(tmp_path: Path) -> None:
    now, then = study(tmp_path / "now", "7", "20260630"), study(tmp_path / "then", "7", "20260103")
    assert prior_dates(now, then) == ("2026-01-03", "2026-06-30")


@pytest.mark.parametrize(
    ("patient", "date", "reason"),
    [
        ("8", "20260103", "another patient"),
        ("7", "20260701", "choose an older one"),
        ("7", "20260630", "choose an older one"),
        ("7", "", "of the earlier scan are not known"),
        ("", "20260103", "of the earlier scan are not known"),
    ],
)
def test_any_other_pair_is_refused_without_naming_the_patient(
    tmp_path: Path, patient: str, date: str, reason: str
) -> None:
    now, then = study(tmp_path / "now", "7", "20260630"), study(tmp_path / "then", patient, date)
    with pytest.raises(InvalidRequest, match=reason) as refused:
        prior_dates(now, then)
    assert "'7'" not in str(refused.value)


def test_a_scan_without_a_patient_is_not_compared(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"")
    with pytest.raises(InvalidRequest, match="of this scan are not known"):
        prior_dates(scan, study(tmp_path / "then", "7", "20260103"))
