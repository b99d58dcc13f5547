"""Submitted labels become a version, or are refused by the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medvlsam2.data import phantom
from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.data.phantom import Phantom, PhantomConfig
from medvlsam2.data.phantom.files import write_phantom
from medvlsam2.errors import DatasetError
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.training import finetune as finetuning
from medvlsam2.training.data import case_files
from medvlsam2.training.finetune import FinetuneConfig, finetune

COARSE = PhantomConfig(shape_ijk=(40, 36, 16), spacing_mm=(9.0, 9.0, 9.5), region="abdomen", num_lesions=0)
SHORT = FinetuneConfig(epochs=2, steps_per_scan=1)


@pytest.fixture(scope="module")
def coarse_phantom() -> Phantom:
    """A coarse phantom for replay and hold-out, so that making them takes no time."""
    return phantom.generate(7, COARSE)


@pytest.fixture(autouse=True)
def _one_phantom(monkeypatch: pytest.MonkeyPatch, coarse_phantom: Phantom) -> None:
    monkeypatch.setattr(case_files.phantom, "generate", lambda _: coarse_phantom)


@pytest.fixture
def submitted(coarse_phantom: Phantom, tmp_path: Path) -> FinalLabel:
    """One scan with its label."""
    write_phantom(coarse_phantom, tmp_path / "scan")
    info = [{"name": name, "idx": value} for value, name in coarse_phantom.labels.items()]
    files = tmp_path / "scan" / "image.nii.gz", tmp_path / "scan" / "label.nii.gz"
    return FinalLabel("scan", *files, info, "patient 1")


def test_a_version_with_its_provenance(model_dir: Path, submitted: FinalLabel) -> None:
    find_nothing(model_dir)
    base = checkpoint.load(model_dir)
    told = []
    found = finetune(model_dir, [submitted], SHORT, lambda *epoch: told.append(epoch))
    assert (found.version, found.published) == ("v0001", True)
    assert version_folders.current_version(model_dir) == "v0001"
    assert [epoch[:2] for epoch in told] == [(1, 2), (2, 2)]
    loaded = checkpoint.load(model_dir)
    record = loaded.metadata
    assert record["parent_version"] == "base"
    assert record["published"] is True
    assert record["metrics"] == found.metrics
    assert len(record["data_sha256"]) == 64
    assert record["structures"] == base.metadata["structures"]
    assert found.metrics["scans_trained"] == 1
    assert found.metrics["scans_held_out"] == 0
    assert found.metrics["last_loss"] == told[-1][2]
    assert "patient 1" not in (version_folders.version_folder(model_dir, "v0001") / version_folders.METADATA).read_text(
        encoding="utf-8"
    )
    before, after = base.model.state_dict(), loaded.model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(".lora_" in key or key.startswith(("seg_projector.", "sam2.sam_mask_decoder.")) for key in changed)


def test_the_next_version_goes_on_from_the_last(model_dir: Path, submitted: FinalLabel) -> None:
    find_nothing(model_dir)
    finetune(model_dir, [submitted], SHORT)
    second = finetune(model_dir, [submitted], SHORT)
    assert second.version == "v0002"
    assert checkpoint.load(model_dir).metadata["parent_version"] == "v0001"
    assert version_folders.versions(model_dir) == ["base", "v0001", "v0002"]


def test_the_gate_refuses_a_worse_model(model_dir: Path, submitted: FinalLabel) -> None:
    """A model that finds everything everywhere has some Dice; an absurd learning rate takes it away."""
    raise_masks(model_dir)
    found = finetune(model_dir, [submitted], FinetuneConfig(epochs=2, steps_per_scan=2, learning_rate=50.0))
    assert found.metrics["hold_out_dice_before"] > 2 * finetuning.TOLERANCE
    assert found.metrics["hold_out_dice_after"] < found.metrics["hold_out_dice_before"] - finetuning.TOLERANCE
    assert not found.published
    assert version_folders.current_version(model_dir) == "base"
    assert version_folders.versions(model_dir) == ["base", "v0001"], "the refused version is kept for a look"


def find_nothing(model_dir: Path) -> None:
    """A base that calls everything absent has a Dice of 0, so what is trained from it is not worse."""
    loaded = checkpoint.load(model_dir)
    with torch.no_grad():
        loaded.model.sam2.text_similarity.score_bias.fill_(-100.0)
    checkpoint.save(model_dir, loaded.model, loaded.tokenizer, loaded.metadata)


def raise_masks(model_dir: Path) -> None:
    """Publish nothing, but make the base say "present" with a mask that holds the middle of every slice."""
    loaded = checkpoint.load(model_dir)
    with torch.no_grad():
        decoder = loaded.model.sam2.sam_mask_decoder
        decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
        similarity = loaded.model.sam2.text_similarity
        for layer in (similarity.to_embedding, similarity.to_high_res_1, similarity.to_high_res_0):
            layer.weight.zero_()
            layer.bias.zero_()
        for network in decoder.output_hypernetworks_mlps:
            network.layers[-1].weight.mul_(0.1)
            network.layers[-1].bias.zero_()
        decoder.output_upscaling[3].bias.fill_(1.0)
        decoder.output_hypernetworks_mlps[0].layers[-1].bias.fill_(1.0)
    checkpoint.save(model_dir, loaded.model, loaded.tokenizer, loaded.metadata)


def test_a_model_that_is_not_a_number_is_never_published(
    model_dir: Path, submitted: FinalLabel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds even if the hold-out's Dice was 0 before and cannot fall."""
    monkeypatch.setattr(finetuning, "_hold_out_dice", lambda *_: 0.0)
    found = finetune(model_dir, [submitted], FinetuneConfig(epochs=1, steps_per_scan=3, learning_rate=1e9))
    assert not found.published
    assert version_folders.current_version(model_dir) == "base"


def test_patients_are_held_out_for_good(model_dir: Path, submitted: FinalLabel) -> None:
    held = next(f"patient {n}" for n in range(50) if finetuning._is_held_out(f"patient {n}"))
    trained = next(f"patient {n}" for n in range(50) if not finetuning._is_held_out(f"patient {n}"))
    share = sum(finetuning._is_held_out(str(n)) for n in range(1000)) / 1000
    assert abs(share - 1 / finetuning.HELD_OUT_IN) < 0.05
    scans = [replace(submitted, patient_id=patient) for patient in (held, trained, held)]
    found = finetune(model_dir, scans, FinetuneConfig(epochs=1, steps_per_scan=1))
    assert found.metrics["scans_trained"] == 1
    assert found.metrics["scans_held_out"] == 2


def test_labels_that_nobody_knows_are_refused(model_dir: Path, submitted: FinalLabel) -> None:
    info = [{"name": "zzz of nothing", "idx": item["idx"]} for item in submitted.label_info]
    unknown = replace(submitted, label_info=info)
    with pytest.raises(DatasetError, match="1 submitted scans, none of them to train on"):
        finetune(model_dir, [unknown], SHORT)
    assert version_folders.versions(model_dir) == ["base"]
