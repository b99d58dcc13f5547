"""Which scans of a data set are used: the same for training and evaluation, whatever form the data set has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from medvlsam2.cli.program import main
from medvlsam2.data.datasets.layouts import scan_folder
from medvlsam2.data.datasets.manifest import ScanRecord, write_manifest
from medvlsam2.data.datasets.scans import labelled_scans, pseudo_label
from medvlsam2.errors import DatasetError


def project(folder: Path, *, splits: bool = True) -> None:
    """Three scans, one of them with a pseudo label alone, one without any label; voxels are not read here."""
    for name in ("A_1", "A_2", "B_1"):
        case = folder / "ct" / name
        case.mkdir(parents=True)
        (case / "image.nii.gz").touch()
        (case / "meta.json").write_text(json.dumps({"labels": {"1": "liver"}, "auto_labels": {"1": "left lung"}}))
    (folder / "ct" / "A_1" / "label.nii.gz").touch()
    (folder / "ct" / "A_2" / "auto_lungs.nii.gz").touch()
    if splits:
        (folder / "split.json").write_text(json.dumps({"train": ["A_1", "A_2"], "val": ["B_1"]}))


def ids(records: list[ScanRecord]) -> list[str]:
    return [record.case_id for record in records]


@pytest.mark.parametrize("form", ["folder", "manifest"])
def test_a_folder_and_its_manifest_are_one_data_set(form: str, tmp_path: Path) -> None:
    project(tmp_path)
    data = tmp_path
    if form == "manifest":
        data = tmp_path / "scans.jsonl"
        write_manifest(data, scan_folder(tmp_path)[1])
    assert ids(labelled_scans(data, "train")) == ["A_1"]
    with_pseudo = labelled_scans(data, "train", with_pseudo_labels=True)
    assert ids(with_pseudo) == ["A_1", "A_2"]
    found = pseudo_label(with_pseudo[1])
    assert found is not None
    assert (found[0].name, found[1]) == ("auto_lungs.nii.gz", {1: "left lung"})
    with pytest.raises(
        DatasetError, match=r"none of them with labels, in HU and of split 'val'; its splits are train, val"
    ):
        labelled_scans(data, "val", with_pseudo_labels=True)


def test_scans_of_a_data_set_without_splits_are_training_scans(tmp_path: Path) -> None:
    project(tmp_path, splits=False)
    assert ids(labelled_scans(tmp_path, with_pseudo_labels=True)) == ["A_1", "A_2"]
    with pytest.raises(DatasetError, match="without splits are of split 'train'"):
        labelled_scans(tmp_path, "val")


class TestTheOption:
    @pytest.fixture
    def refused(self, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        """Runs a verb in a folder with some data sets that cannot be used."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "scans.csv").touch()
        (tmp_path / "broken.jsonl").write_text("no scan\n")
        project(tmp_path / "project")
        (tmp_path / "project" / "ct" / "A_1" / "label.nii.gz").unlink()
        (tmp_path / "project" / "ct" / "A_2" / "auto_lungs.nii.gz").unlink()
        train = ["--preset", "tiny_random", "--stages", "[3]", "--phantoms", "0", "--initial", str(tiny_model_dir)]
        evaluate = ["--model", str(tiny_model_dir), "--phantoms", "0", "-o", "out"]
        options = {"train": train, "evaluate": evaluate}
        return lambda verb, data: main([verb, "--data", data, *options[verb]])

    @pytest.mark.parametrize("verb", ["train", "evaluate"])
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ("gone", "is neither a folder nor a manifest"),
            ("scans.csv", "is neither a folder nor a manifest"),
            ("empty", "has no layout that is known"),
            ("broken.jsonl", "Line 1 of manifest 'broken.jsonl' is no scan"),
            ("project", "none of them with labels, in HU and of split"),
        ],
    )
    def test_both_verbs_say_the_same(
        self, refused: Callable[..., int], capsys: pytest.CaptureFixture[str], verb: str, data: str, words: str
    ) -> None:
        assert refused(verb, data) == 2
        assert words in " ".join(capsys.readouterr().err.split())
