"""A studies folder that the host's own datastore made opens with all its labels and names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monailabel.datastore.local import LocalDatastore

from label_tasks.store.scan_folder import ScanFolder

SHAPE = (5, 6, 7)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("one", "two", "three"):
        nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)), folder / f"{name}.nii.gz")
    return folder


def label(folder: Path, number: int, suffix: str = ".nii.gz") -> str:
    path = folder.parent / f"label{number}{suffix}"
    nib.save(nib.Nifti1Image(np.full(SHAPE, number, np.uint8), np.eye(4)), folder.parent / "label.nii.gz")
    path.write_bytes((folder.parent / "label.nii.gz").read_bytes())
    return str(path)


def info(name: str, value: int) -> dict[str, Any]:
    return {"label_info": [{"name": name, "idx": value}], "client_id": "ann"}


def test_labels_names_and_what_was_told(studies: Path) -> None:
    old = LocalDatastore(str(studies), extensions=("*.nii.gz", "*.nii", "*.nrrd"))
    old.save_label("one", label(studies, 1), "final", info("liver", 1))
    old.save_label("one", label(studies, 2), "original", info("spleen", 2))
    old.save_label("two", label(studies, 3), "final", info("stomach", 3))
    first = (studies / "labels" / "final" / "two.nii.gz").read_bytes()
    old.save_label("two", label(studies, 4, ".nrrd"), "final", info("aorta", 4))
    os.utime(studies / "labels" / "final" / "two.nii.gz", (1_000_000_000, 1_000_000_000))
    old.update_image_info("three", {"PatientID": "7"})
    for _ in range(2):
        new = ScanFolder(studies)
        assert new.status() == {"total": 3, "completed": 2, "label_tags": {"final": 2, "original": 1}}
        assert new.get_label_info("one", "final")["label_info"] == info("liver", 1)["label_info"]
        assert new.get_label_info("one", "original")["label_info"] == info("spleen", 2)["label_info"]
        assert new.get_label_info("two", "final")["label_info"] == info("aorta", 4)["label_info"]
        assert new.get_image_info("three")["PatientID"] == "7"
        assert [path.name for path in (studies / "labels" / "final").glob("two*")] == ["two.nrrd"]
        (studies / "datastore_v2.json").unlink()  # the second time the names come from the labels' own records
        record = {"objects": {"three": {"image": {"ext": ".nii.gz", "info": {"PatientID": "7"}}, "labels": {}}}}
        (studies / "datastore_v2.json").write_text(json.dumps(record), encoding="utf-8")
    place = new.folder.shelf.place("two", "final")
    assert place.version_file(place.versions()[0].number)[0].read_bytes() == first


def test_the_host_can_still_open_the_folder(studies: Path) -> None:
    store = ScanFolder(studies)
    store.save_label("one", label(studies, 1), "final", info("liver", 1))
    store.save_label("one", label(studies, 2), "final", info("spleen", 2))
    host = LocalDatastore(str(studies), extensions=("*.nii.gz",))
    assert host.status() == {"total": 3, "completed": 1, "label_tags": {"final": 1}}
    assert host.get_label_info("one", "final")["label_info"] == info("spleen", 2)["label_info"]
    assert (
        Path(host.get_label_uri("one", "final")).read_bytes() == Path(store.get_label_uri("one", "final")).read_bytes()
    )
