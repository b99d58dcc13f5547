"""What the app hands to fine-tuning, and which scan it offers next."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monailabel.interfaces.app import MONAILabelApp

from label_tasks.learning import finetuning, selection
from label_tasks.learning.score_book import SCORE_FILE
from medvlsam2 import errors

SHAPE = (5, 7, 9)


class TestNextSample:
    @pytest.fixture
    def looked_at(self, app: MONAILabelApp, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names of scans in the order in which the model was asked about them."""
        calls: list[str] = []
        doubts = {"alpha": 0.2, "beta": 0.9, "gamma": 0.5}
        monkeypatch.setattr(
            selection,
            "uncertainty",
            lambda _, volume: calls.append(volume.image_id) or doubts[volume.image_id],
        )
        strategy = app._strategies["random"]
        monkeypatch.setattr(strategy._engine, "loaded", lambda: None, raising=False)
        return calls

    def test_the_least_sure_scan_is_named_and_scores_are_kept(
        self, app: MONAILabelApp, looked_at: list[str], studies: Path
    ) -> None:
        for strategy in ("random", "medvlsam2_value"):
            sample = app.next_sample({"strategy": strategy})
            assert (sample["id"], sample["uncertainty"]) == ("beta", 0.9)
            assert sample["path"] == str(studies / "beta.nii.gz")
        assert sorted(looked_at) == ["alpha", "beta", "gamma"]
        assert (studies / SCORE_FILE).is_file()

    def test_a_call_looks_at_a_bounded_number_of_scans(self, app: MONAILabelApp, looked_at: list[str]) -> None:
        app._strategies["random"]._candidates = 1
        for number in (1, 2, 3):
            assert app.next_sample({"strategy": "random"})["scored"] == number
            assert len(looked_at) == number
        assert app.next_sample({"strategy": "random"})["id"] == "beta"

    def test_a_changed_scan_is_looked_at_again(self, app: MONAILabelApp, looked_at: list[str], studies: Path) -> None:
        app.next_sample({"strategy": "random"})
        shutil.copy(studies / "gamma.nii.gz", studies / "alpha.nii.gz")
        looked_at.clear()
        app.next_sample({"strategy": "random"})
        assert looked_at == ["alpha"]

    def test_labelled_and_just_offered_scans_come_last(self, app: MONAILabelApp, looked_at: list[str]) -> None:
        store = app.datastore()
        store.update_image_info("beta", {"strategy": {"random": {"ts": int(time.time())}}})
        assert app.next_sample({"strategy": "random"})["id"] == "gamma"
        assert app.next_sample({"strategy": "medvlsam2_value"})["id"] == "beta"
        for name in ("alpha", "beta", "gamma"):
            store.save_label(name, store.get_image_uri(name), "final", {})
        assert app.next_sample({"strategy": "random"}) == {}
        assert app.next_sample({"strategy": "uniform_random"}) == {}

    def test_uniform_random_names_any(self, app: MONAILabelApp) -> None:
        names = {app.next_sample({"strategy": "uniform_random"})["id"] for _ in range(60)}
        assert names == {"alpha", "beta", "gamma"}


class TestFineTuning:
    def test_labels_are_handed_over_by_name(
        self,
        app: MONAILabelApp,
        studies: Path,
        tmp_path: Path,
        affine: np.ndarray,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        values = np.zeros(SHAPE, np.uint8)
        values[1], values[2] = 1, 2
        label = tmp_path / "label.nii.gz"
        nib.save(nib.Nifti1Image(values, affine), label)
        store = app.datastore()
        store.save_label(
            "alpha",
            str(label),
            "final",
            {"label_info": [{"name": "liver", "idx": 2}, {"name": "cyst", "idx": 3}]},
        )
        store.save_label("beta", str(label), "final", {"label_info": []})
        seen: dict[str, Any] = {}
        monkeypatch.setattr(
            finetuning, "finetune", lambda *arguments, **named: seen.update(named, arguments=arguments) or Published()
        )
        monkeypatch.setattr(app._engine, "device", "cuda:1")
        app._trainers = app.init_trainers()
        stats = app.train({"model": "medvlsam2_finetune", "max_epochs": 2})
        (scan,) = seen["arguments"][1]
        assert dict(scan.check().names) == {1: "liver", 2: "cyst"}
        assert Path(scan.image_path) == studies / "alpha.nii.gz"
        assert Path(scan.label_path) == studies / "labels" / "final" / "alpha.nii.gz"
        assert scan.patient_id == "alpha"
        assert seen["device"] == "cuda:1", "that of the server"
        assert seen["work"] == studies / ".fine-tuning"
        assert (stats["version"], stats["published"], stats["scans"]) == ("v1", True, 1)
        assert "image 'beta'" in stats["left_out"][0]
        assert app.info()["train_stats"]["medvlsam2_finetune"]["version"] == "v1"

    def test_without_labels_a_sentence(self, app: MONAILabelApp) -> None:
        with pytest.raises(errors.DatasetError, match=r"0 submitted labels"):
            app.train({"model": "medvlsam2_finetune"})


@dataclass
class Published:
    version: str = "v1"
    published: bool = True
    metrics: dict[str, float] = field(default_factory=lambda: {"dice": 0.5})
    refused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
