"""Submitted labels become a version, or are refused by the gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.errors import DatasetError, InvalidConfig
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.training.finetuning import finetune as finetuning
from medvlsam2.training.finetuning import hold_out, scans
from medvlsam2.training.finetuning.finetune import NOT_FINITE, FinetuneConfig, PublishedVersion, finetune
from medvlsam2.training.finetuning.gate import TOLERANCE
from medvlsam2.training.running.run_folder import METRICS

SHORT = FinetuneConfig(epochs=2, steps_per_scan=1)


def test_a_version_with_its_provenance(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    find_nothing(model_dir)
    base = checkpoint.load(model_dir)
    told = []
    found = finetune(model_dir, [submitted], SHORT, work=work, progress=lambda *epoch: told.append(epoch))
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
    assert not work.exists(), "what was prepared of a patient's scan goes with the run"
    assert "patient 1" not in (version_folders.version_folder(model_dir, "v0001") / version_folders.METADATA).read_text(
        encoding="utf-8"
    )
    before, after = base.model.state_dict(), loaded.model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(".lora_" in key or key.startswith(("seg_projector.", "sam2.sam_mask_decoder.")) for key in changed)


def test_the_next_version_goes_on_from_the_last(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    find_nothing(model_dir)
    finetune(model_dir, [submitted], SHORT, work=work)
    second = finetune(model_dir, [submitted], SHORT, work=work)
    assert second.version == "v0002"
    assert checkpoint.load(model_dir).metadata["parent_version"] == "v0001"
    assert version_folders.versions(model_dir) == ["base", "v0001", "v0002"]


def test_the_gate_refuses_a_worse_model(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    """A model that finds everything everywhere has some Dice; an absurd learning rate takes it away."""
    raise_masks(model_dir)
    found = finetune(model_dir, [submitted], FinetuneConfig(epochs=2, steps_per_scan=2, learning_rate=50.0), work=work)
    assert found.metrics["hold_out_dice_before"] > 2 * TOLERANCE
    assert found.metrics["hold_out_dice_after"] < found.metrics["hold_out_dice_before"] - TOLERANCE
    assert not found.published
    assert all(": Dice 0.0" in said for said in found.refused)
    assert found.refused
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


def test_a_loss_that_is_no_number_ends_the_run(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    config = FinetuneConfig(epochs=1, steps_per_scan=4, learning_rate=1e30)
    with pytest.raises(InvalidConfig, match="The loss is nan"):
        finetune(model_dir, [submitted], config, work=work)
    assert not list(work.glob("run-*")), "the next run must not go on from there"
    assert version_folders.versions(model_dir) == ["base"]


def test_weights_that_are_no_numbers_are_never_published(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    """The last step spoils them, so that no loss tells, and the hold-out cannot fall below the 0 that it had."""
    find_nothing(model_dir)
    config = FinetuneConfig(epochs=1, steps_per_scan=1, learning_rate=1e30)
    found = finetune(model_dir, [submitted], config, work=work)
    assert (found.published, found.refused) == (False, (NOT_FINITE,))
    assert version_folders.current_version(model_dir) == "base"


def test_patients_are_held_out_for_good(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    held = next(f"patient {n}" for n in range(50) if scans.is_held_out(f"patient {n}"))
    trained = next(f"patient {n}" for n in range(50) if not scans.is_held_out(f"patient {n}"))
    share = sum(scans.is_held_out(str(n)) for n in range(1000)) / 1000
    assert abs(share - 1 / scans.HELD_OUT_IN) < 0.05
    labels = [replace(submitted, patient_id=patient) for patient in (held, trained, held)]
    found = finetune(model_dir, labels, FinetuneConfig(epochs=1, steps_per_scan=1), work=work)
    assert found.metrics["scans_trained"] == 1
    assert found.metrics["scans_held_out"] == 2


def test_labels_that_nobody_knows_are_refused(model_dir: Path, submitted: FinalLabel, work: Path) -> None:
    info = [{"name": "zzz of nothing", "idx": item["idx"]} for item in submitted.label_info]
    unknown = replace(submitted, label_info=info)
    with pytest.raises(DatasetError, match="1 submitted scans, none of them to train on"):
        finetune(model_dir, [unknown], SHORT, work=work)
    assert version_folders.versions(model_dir) == ["base"]


def no_steps(*_: object, run: Path, **__: object) -> None:
    """A run of the loop in which no weight changes."""
    run.mkdir()
    (run / METRICS).write_text('{"losses": {"loss": 1.0}}\n', encoding="utf-8")


class TestTheGate:
    """With scores that are given: what is measured is another test's matter."""

    @pytest.fixture
    def run(
        self, model_dir: Path, submitted: FinalLabel, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., PublishedVersion]:
        """A run whose model has these scores before and after."""

        def run(before: dict[str, float], after: dict[str, float]) -> PublishedVersion:
            scores = iter([{"scan": before}, {"scan": after}])
            monkeypatch.setattr(hold_out, "measure", lambda *_: next(scores))
            monkeypatch.setattr(hold_out, "sizes", lambda _: {"scan": dict.fromkeys(before, 4000)})
            monkeypatch.setattr(finetuning, "run_stages", no_steps)
            return finetune(model_dir, [submitted], FinetuneConfig(epochs=1, steps_per_scan=1), work=work)

        return run

    def test_small_losses_do_not_add_up(self, run: Callable[..., PublishedVersion], model_dir: Path) -> None:
        """Five candidates, each worse than the version that answers by just as much as is allowed."""
        dice, published = 0.9, []
        for _ in range(5):
            after = round(dice - TOLERANCE, 4)
            found = run({"liver": dice}, {"liver": after})
            published.append(found.published)
            dice = after if found.published else dice
        assert published == [True, False, False, False, False]
        assert dice >= 0.9 - TOLERANCE
        version_folders.set_current(model_dir, "base")  # a roll-back forgets nothing
        found = run({"liver": 0.86}, {"liver": 0.86})
        assert not found.published
        assert "while version base had 0.900 on the same 1 hold-out scan" in found.refused[0]
        assert run({"liver": 0.86}, {"liver": 0.91}).published

    def test_a_structure_that_falls_while_the_mean_rises_is_named(
        self, run: Callable[..., PublishedVersion], model_dir: Path
    ) -> None:
        found = run({"liver": 0.9, "spleen": 0.5}, {"liver": 0.85, "spleen": 0.7})
        assert not found.published
        (said,) = found.refused
        assert said.startswith("liver: Dice 0.850, while version base had 0.900")
        card = version_folders.version_folder(model_dir, "v0001") / version_folders.METADATA
        assert said in json.loads(card.read_text(encoding="utf-8"))["refused"]
        assert version_folders.current_version(model_dir) == "base"
        again = run({"liver": 0.9, "spleen": 0.5}, {"liver": 0.9, "spleen": 0.6})
        assert again.published, "what a refused candidate reached is not asked of the next one"
