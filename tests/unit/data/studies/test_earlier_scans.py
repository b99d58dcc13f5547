"""The latest earlier scan of the same patient is found by patient and date, and nothing of the patient is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.tasks.reporting.test_earlier import study

from medvlsam2.data.studies.earlier_scans import EarlierScans, ListedScan


def listed(folder: Path, name: str, patient: str, date: str) -> ListedScan:
    return ListedScan(name, study(folder / name, patient, date))


def told(folder: Path, name: str, info: Mapping[str, Any]) -> ListedScan:
    path = folder / f"{name}.nii.gz"
    path.write_bytes(b"no DICOM")
    return ListedScan(name, path, info)


def test_the_latest_of_the_earlier_scans_of_the_same_patient(tmp_path: Path) -> None:
    now = listed(tmp_path, "now", "7", "20260630")
    others = [
        listed(tmp_path, "old", "7", "20240101"),
        listed(tmp_path, "last", "7", "20260103"),
        listed(tmp_path, "same day", "7", "20260630"),
        listed(tmp_path, "later", "7", "20260701"),
        listed(tmp_path, "other", "8", "20260601"),
        listed(tmp_path, "undated", "7", ""),
        now,
    ]
    found = EarlierScans().latest(now, others)
    assert found is not None
    assert (found.scan.image_id, found.date, found.now) == ("last", "2026-01-03", "2026-06-30")
    assert EarlierScans().latest(others[0], others) is None, "nothing is older"


@pytest.mark.parametrize("date", ["", None, "yesterday", "2026"])
def test_without_both_dates_nothing_is_compared(tmp_path: Path, date: str | None) -> None:
    earlier = told(tmp_path, "then", {"PatientID": "7", "StudyDate": "20260103"})
    now = told(tmp_path, "now", {"PatientID": "7", "StudyDate": date})
    assert EarlierScans().latest(now, [earlier]) is None
    assert EarlierScans().latest(told(tmp_path, "bare", {}), [earlier]) is None


def test_patient_and_date_may_be_told_with_a_scan_that_is_no_dicom(tmp_path: Path) -> None:
    now = told(tmp_path, "now", {"PatientID": "7", "StudyDate": "2026-06-30"})
    earlier = listed(tmp_path, "then", "7", "20260103")
    found = EarlierScans().latest(now, [earlier])
    assert found is not None
    assert found.date == "2026-01-03"


def test_a_scan_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    now = listed(tmp_path, "now", "7", "20260630")
    gone = ListedScan("gone", tmp_path / "gone")
    assert EarlierScans().latest(now, [gone]) is None


def test_the_patient_is_kept_as_a_hash_alone(tmp_path: Path) -> None:
    earlier = EarlierScans()
    now, then = listed(tmp_path, "now", "SECRET-7", "20260630"), listed(tmp_path, "then", "SECRET-7", "20260103")
    assert earlier.latest(now, [then]) is not None
    assert "SECRET-7" not in repr(vars(earlier))
    assert "SECRET-7" not in repr(earlier.latest(now, [then]))
