"""Whose a DICOM study is and when it was made, so that two studies of one patient can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from medvlsam2.data.reading import dicom_mark
from medvlsam2.data.reading.dicom.data_set import read_data_set

_TAGS: Final = ("PatientID", "IssuerOfPatientID", "StudyDate")
_DATE: Final = re.compile(r"^(\d{4})-?(\d{2})-?(\d{2})$")


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
    return _origin(read_data_set(files[0], tags=_TAGS))


def origin_of(path: Path, info: Mapping[str, Any]) -> StudyOrigin | None:
    """Return the patient and the date of a scan: those of its DICOM header, or else those that were told with it.

    Args:
        path: file or folder of the scan.
        info: what was told of it; the keys ``PatientID`` and ``StudyDate`` count.

    Raises:
        UnreadableVolume: if the DICOM file is damaged.
    """
    return study_origin(path) or _origin(info)


def _origin(told: Mapping[str, Any] | Dataset) -> StudyOrigin | None:
    patient, issuer, date = (str(told.get(name) or "").strip() for name in _TAGS)
    digits = _DATE.match(date)
    return None if not patient or digits is None else StudyOrigin((patient, issuer), "-".join(digits.groups()))
