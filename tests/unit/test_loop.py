"""The loop over the stages: it runs each of them, logs, stops in time, and goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medvlsam2.errors import DatasetError, InvalidConfig
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training import loop
from medvlsam2.training.cases import Case
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.loop import Line, fit

SMALL = {
    "preset": "tiny_random",
    "texts_per_step": 2,
    "volumes_per_step": 1,
    "conversations_per_volume": 2,
    "cases_per_step": 1,
    "slices_per_case": 2,
    "objects_per_case": 2,
    "clip_slices": 2,
    "warmup_steps": 2,
}


@pytest.fixture
def model(tiny_loaded: LoadedModel) -> MedVLSAM2:
    """A fresh tiny model."""
    return builders.build(tiny_loaded.config, checkpoint.special_tokens(tiny_loaded.tokenizer), seed=4)


@pytest.fixture(autouse=True)
def _log_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)


def lines_of(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_every_stage_runs_and_writes(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = TrainConfig(**SMALL, minutes=(0.02, 0.02, 0.02, 0.05))
    told: list[Line] = []
    fit(model, tiny_loaded.tokenizer, [tiny_case], config, run=tmp_path / "run", report=told.append)
    lines = lines_of(tmp_path / "run")
    assert {line["stage"] for line in lines} == {0, 1, 2, 3}
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line.step for line in told] == [line["step"] for line in lines]
    for line in lines:
        assert all(np.isfinite(value) for value in line["losses"].values())
        assert 0 <= line["learning_rate"] <= config.learning_rates[line["stage"]]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["preset"] == "tiny_random"
    assert list((tmp_path / "run").glob("events.out.tfevents*"))
    state = torch.load(tmp_path / "run" / loop.CHECKPOINT, weights_only=True)
    assert state["progress"]["stage_index"] == 4
    assert state["progress"]["step"] == len(lines)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    for part in ("language.decoder", "vit", "projector", "seg_projector", "sam2"):
        assert any(name.startswith(part) for name in changed), part
    assert not model.training
    fit(model, tiny_loaded.tokenizer, [tiny_case], config, run=tmp_path / "run", report=told.append)
    assert len(lines_of(tmp_path / "run")) == len(lines), "a finished run has nothing left to do"


class Interrupted(Exception):
    """Power cut."""


def test_it_goes_on_at_the_stored_step_and_stage(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    config = TrainConfig(
        **SMALL, stages=(0, 0), minutes=(0.03, 0.06), learning_rates=(2e-3,) * 4, checkpoint_minutes=0.0
    )

    def cut(line: Line) -> None:
        state = run / loop.CHECKPOINT
        if state.is_file() and torch.load(state, weights_only=True)["progress"]["stage_index"] == 1 and line.step > 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(model, tiny_loaded.tokenizer, [], config, run=run, report=cut)
    state = torch.load(run / loop.CHECKPOINT, weights_only=True)
    stored = state["progress"]
    assert stored["stage_index"] == 1

    fresh = builders.build(tiny_loaded.config, checkpoint.special_tokens(tiny_loaded.tokenizer), seed=9)
    resumed: list[Line] = []
    restored = []
    restore = loop._restore

    def watched(optimizer: torch.optim.Optimizer, folder: Path, index: int) -> None:
        restored.append((index, all(torch.equal(t, fresh.state_dict()[k]) for k, t in state["model"].items())))
        restore(optimizer, folder, index)

    monkeypatch.setattr(loop, "_restore", watched)
    fit(fresh, tiny_loaded.tokenizer, [], config, run=run, report=resumed.append)
    assert restored == [(1, True)], "the first stage is not run again, and the weights are those that were stored"
    assert resumed[0].step == stored["step"] + 1
    seconds = config.minutes[1] * 60
    assert resumed[0].fraction >= stored["stage_seconds"] / seconds - 0.01


def test_a_run_without_cases_is_refused(model: MedVLSAM2, tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    config = TrainConfig(**SMALL, stages=(3,), minutes=(0.1,))
    with pytest.raises(DatasetError, match="0 phantoms and 0 labelled scans"):
        fit(model, tiny_loaded.tokenizer, [], config, run=tmp_path, report=lambda _: None)


def test_stages_and_minutes_must_fit() -> None:
    with pytest.raises(InvalidConfig, match="4 values of minutes for 1 stages"):
        TrainConfig(stages=(3,))
    with pytest.raises(InvalidConfig, match=r"stages \(4,\)"):
        TrainConfig(stages=(4,), minutes=(1.0,))
    with pytest.raises(InvalidConfig, match="2 learning rates"):
        TrainConfig(learning_rates=(1e-3, 1e-3))
