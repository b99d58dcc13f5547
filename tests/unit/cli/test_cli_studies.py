"""The commands that look at a studies folder before a server does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.data.studies.local_scans import list_scans
from medvlsam2.data.studies.studies_folder import StudiesFolder

SHAPE = (6, 7, 8)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Two scans, and files that people and programs leave beside them."""
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("one.nii.gz", "TWO.NII.GZ"):
        nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)), folder / "made.nii.gz")
        (folder / "made.nii.gz").rename(folder / name)
    (folder / "README").write_text("scanned in May", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "header.mhd").write_text("ObjectType = Image\nNDims = 3\nElementDataFile = gone.raw\n", encoding="utf-8")
    return folder


def looked_at(run: Any, studies: Path) -> tuple[int, list[tuple[str, bool, str]]]:
    code, out, _ = run("doctor", "--json", "--model", "nothing", "--studies", studies)
    checks = json.loads(out)["checks"]
    return code, [(c["name"], c["ok"], c["detail"]) for c in checks if c["name"] in ("studies", "not a scan")]


def test_doctor_counts_a_folder_and_says_what_is_left_out(run, studies):
    _, found = looked_at(run, studies)
    assert found[0] == ("studies", True, "2 scans, 0 labels in 0 versions")
    assert [(name, detail.split("'")[1]) for name, _, detail in found[1:]] == [
        ("not a scan", "README"),
        ("not a scan", "header.mhd"),
    ]
    assert "gone.raw" in found[2][2]


def test_doctor_says_which_names_no_request_can_give(run, studies):
    for name in (" spaced.nii.gz", "line\nend.nii.gz", "mirrored\u202e.nii.gz", f"{'n' * 220}.nii.gz"):
        (studies / name).write_bytes((studies / "one.nii.gz").read_bytes())
    _, found = looked_at(run, studies)
    assert found[0][2].startswith("2 scans")
    assert sum("cannot be named in a request" in detail for name, _, detail in found if name == "not a scan") == 4


def test_doctor_says_what_is_wrong_with_labels_and_index(run, studies, tmp_path):
    folder = StudiesFolder(studies, list_scans)
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), np.eye(4)), tmp_path / "label.nii.gz")
    for tag in ("final", "final", "original"):
        folder.put_label("one", tag, tmp_path / "label.nii.gz", ".nii.gz", {})
    (studies / "labels" / "original" / "one.nii.gz").write_bytes(b"torn")
    (studies / "labels" / "final" / "stray.nii.gz").write_bytes((tmp_path / "label.nii.gz").read_bytes())
    (studies / "datastore_v2.json").write_text("{", encoding="utf-8")
    before = sorted(studies.rglob("*"))
    code, found = looked_at(run, studies)
    assert code == 1
    assert found[0] == ("studies", False, "2 scans, 3 labels in 2 versions")
    faults = " ".join(detail for name, ok, detail in found if name == "studies" and not ok)
    for words in ("is damaged", "'stray'", "belongs to no scan", "changed outside", "cannot be used"):
        assert words in faults
    assert sorted(studies.rglob("*")) == before


def test_serve_refuses_a_folder_that_cannot_be_written_before_it_starts(run):
    code, out, err = run("serve", "--studies", "/proc/sys", "--model", "tiny-random")
    assert code == 2
    assert "Serving" not in out
    assert "'/proc/sys'" in err
    assert "copies of the scans or links to them" in " ".join(err.split())
    assert "Traceback" not in err
