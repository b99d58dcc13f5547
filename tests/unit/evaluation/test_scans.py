"""The scans that an evaluation uses, and the facts that are known about them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.unit.evaluation.conftest import NOT_CONTOURED

from medvlsam2.data.datasets.scans import labelled_scans, of_sources
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.errors import DatasetError, InvalidRequest
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, read_scan


def test_a_scan_has_its_contoured_structures_and_no_other(data, small_phantom):
    scan = read_scan(labelled_scans(data, "val", with_pseudo_labels=True)[0])
    assert set(scan.truth) == set(small_phantom.labels.values()) - {NOT_CONTOURED}
    value = next(value for value, key in small_phantom.labels.items() if key == "liver")
    np.testing.assert_array_equal(scan.truth["liver"], small_phantom.label_map == value)
    assert (scan.group, scan.patient, scan.is_pseudo) == ("A", "A_1", False)
    assert scan.facts.region == "abdomen"
    assert not scan.facts.lesions_known
    assert NOT_CONTOURED not in scan.facts.absent


def test_pseudo_labels_are_told_apart(data, small_phantom):
    case = data / "ct" / "A_1"
    (case / "label.nii.gz").unlink()
    write_label_map(case / "auto_lungs.nii.gz", small_phantom.label_map, small_phantom.volume.affine, {})
    (case / "meta.json").write_text(json.dumps({"labels": {}, "auto_labels": {"1": "right lung"}}), encoding="utf-8")
    scan = read_scan(labelled_scans(data, "val", with_pseudo_labels=True)[0])
    assert (scan.group, scan.is_pseudo, list(scan.truth)) == ("A (pseudo truth)", True, ["lung_right"])


def test_wholes_are_unions_of_what_was_contoured(small_phantom):
    masks = {key: np.zeros((4, 4, 4), dtype=bool) for key in ("vertebrae_T12", "vertebrae_L1", "rib_left_8")}
    masks["vertebrae_T12"][0], masks["vertebrae_L1"][1] = True, True
    wholes = LabelledScan(small_phantom.volume, "p", "A", masks).wholes
    assert list(wholes) == ["vertebrae"]
    assert wholes["vertebrae"].sum() == 32


def test_sources_and_limits(data):
    records = labelled_scans(data, "val", with_pseudo_labels=True)
    assert [record.case_id for record in of_sources(records, (), 1)] == ["A_1", "B_1"]
    assert [record.case_id for record in of_sources(records, ("A",), None)] == ["A_1", "A_2"]
    with pytest.raises(InvalidRequest, match=r"'C'. Choose from A, B"):
        of_sources(records, ("C",), None)


def test_a_split_without_scans_is_an_error(data):
    with pytest.raises(DatasetError, match=r"split 'test'.*val"):
        labelled_scans(data, "test", with_pseudo_labels=True)


@pytest.mark.usefixtures("small_phantoms")
def test_everything_is_known_of_a_phantom(small_phantom):
    scan = draw_phantom(500_000)
    assert set(scan.truth) == set(small_phantom.labels.values())
    assert scan.facts == small_phantom.facts
    assert scan.group == "phantom"
