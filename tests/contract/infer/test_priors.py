"""The earlier scan of a report: the one that the request names, or the one of the same patient in the datastore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_tasks.images import KnownImage
from label_tasks.infer.prior_scan import PriorScan
from label_tasks.infer.report_options import PRIOR, wanted_report
from label_tasks.priors import Priors
from label_tasks.store.scan_folder import ScanFolder
from medvlsam2.data.readers import write_label_map
from medvlsam2.errors import InvalidRequest, UnknownImage


@pytest.fixture
def store(tmp_path: Path) -> ScanFolder:
    for name in ("now", "then", "other"):
        write_label_map(tmp_path / f"{name}.nii.gz", np.ones((8, 8, 8), dtype=np.uint8), np.eye(4), {})
    folder = ScanFolder(tmp_path)
    for name, patient, date in (("now", "7", "20260630"), ("then", "7", "20260103"), ("other", "8", "20250101")):
        folder.update_image_info(name, {"PatientID": patient, "StudyDate": date})
    return folder


def prior(store: ScanFolder, named: str = "") -> PriorScan | None:
    return Priors().of(KnownImage("now"), store.get_image_uri("now"), named, store)


def test_the_datastore_is_searched_for_the_same_patient(store: ScanFolder) -> None:
    found = prior(store)
    assert found is not None
    assert (found.image_id, found.dates, found.is_named) == ("then", ("2026-01-03", "2026-06-30"), False)
    assert found.path == Path(store.get_image_uri("then"))
    assert prior(store, "off") is None


def test_another_scan_may_be_named(store: ScanFolder) -> None:
    named = prior(store, "then")
    assert named is not None
    assert named.is_named
    with pytest.raises(InvalidRequest, match="another patient"):
        prior(store, "other")
    with pytest.raises(UnknownImage):
        prior(store, "gone")


def test_a_scan_of_a_session_is_compared_with_nothing_unless_one_is_named(store: ScanFolder) -> None:
    of_session = KnownImage("now", store.get_image_uri("now"))
    assert Priors().of(of_session, store.get_image_uri("now"), "", store) is None


@pytest.mark.parametrize("given", ["/etc/passwd", {"path": "/etc/passwd"}])
def test_a_client_cannot_say_where_the_earlier_scan_lies(given: Any) -> None:
    assert wanted_report({PRIOR: given}).prior is None


def test_own_words_and_a_named_scan_exclude_each_other(store: ScanFolder) -> None:
    with pytest.raises(InvalidRequest, match="exclude each other"):
        wanted_report({PRIOR: prior(store, "then"), "prior": "then", "grounded": "off"})
    assert wanted_report({PRIOR: prior(store), "grounded": "off"}).prior is None
