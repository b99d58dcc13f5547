"""Whose a DICOM study is and when it was made, so that two studies of one patient can be compared."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medvlsam2.data.reading import dicom_mark
from medvlsam2.data.reading.dicom.data_set import read_data_set

_TAGS: Final = ("PatientID", "IssuerOfPatientID", "StudyDate")
_DATE: Final = re.compile(r"^(\d{4})(\d{2})(\d{2})$")


@dataclass(frozen=True)
class StudyOrigin:
    """Patient and date of a study. The patient is compared and never shown."""

    patient: tuple[str, str] = field(repr=False)
    """PatientID and its issuer."""
    date: str
    """Study date as YYYY-MM-DD."""


def study_origin(path: Path) -> StudyOrigin | None:
    """Return the patient and the date of a DICOM file, or of the first one in a folder; None if a header lacks them.

    Args:
        path: file or folder of a scan. Other formats tell neither patient nor date.

    Raises:
        UnreadableVolume: if the DICOM file is damaged.
    """
    files = dicom_mark.dicom_files(path) if path.is_dir() else [path] if dicom_mark.is_dicom_file(path) else []
    if not files:
        return None
    header = read_data_set(files[0], tags=_TAGS)
    patient = str(header.get("PatientID") or "").strip()
    date = _DATE.match(str(header.get("StudyDate") or "").strip())
    if not patient or date is None:
        return None
    return StudyOrigin((patient, str(header.get("IssuerOfPatientID") or "").strip()), "-".join(date.groups()))
