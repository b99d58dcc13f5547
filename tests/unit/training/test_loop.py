"""The loop over the stages: it runs each of them, logs, stops in time, keeps the best, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medvlsam2.errors import DatasetError, InvalidConfig
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training import loop
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.interrupt import Stopped
from medvlsam2.training.loop import Outcome, fit
from medvlsam2.training.running.run_folder import (
    BEST,
    CHECKPOINT,
    LOSSES,
    Line,
)

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


@pytest.fixture(autouse=True)
def _log_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)


@pytest.fixture
def fresh(tiny_loaded: LoadedModel) -> Callable[[int], MedVLSAM2]:
    """Makes fresh tiny models."""
    tokens = checkpoint.special_tokens(tiny_loaded.tokenizer)
    return lambda seed: builders.build(tiny_loaded.config, tokens, seed=seed)


@pytest.fixture
def model(fresh: Callable[[int], MedVLSAM2]) -> MedVLSAM2:
    return fresh(4)


class StepClock:
    """A clock that advances by one second, or another time, with every log line, that is with every step."""

    def __init__(self, step_s: float = 1.0) -> None:
        self.now_s = 100.0
        self.step_s = step_s
        self.lines: list[Line] = []

    def __call__(self) -> float:
        return self.now_s

    def report(self, line: Line) -> None:
        self.now_s += self.step_s
        self.lines.append(line)


def lines_of(run: Path, name: str = "metrics.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]


def minutes(*steps: int) -> tuple[float, ...]:
    """Stages of so many steps by the step clock."""
    return tuple((count - 0.5) / 60 for count in steps)


def test_every_stage_runs_and_writes(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run, clock = tmp_path / "run", StepClock()
    config = TrainConfig(**SMALL, minutes=minutes(2, 3, 4, 9))
    told = fit(model, tiny_loaded.tokenizer, [tiny_case], config, run=run, report=clock.report, clock=clock)
    lines = lines_of(run)
    assert [line["stage"] for line in lines] == [0] * 2 + [1] * 3 + [2] * 4 + [3] * 9
    assert [line["step"] for line in lines] == [line.step for line in clock.lines] == list(range(1, 19))
    assert told == Outcome(steps=18, validation_score=None)
    for line in lines:
        assert all(np.isfinite(value) for value in line["losses"].values())
        kinds = {name.split("/")[0] for name in line["losses"]} - {"loss", "grad_norm"}
        assert (
            kinds
            <= {
                0: {"text", "copy", "reading"},
                1: {"conversation"},
                2: {"conversation", "alignment"},
                3: {"conversation", "alignment", "dense", "masks", "clip"},
            }[line["stage"]]
        )
        assert 0 <= line["learning_rate"] <= config.learning_rates[line["stage"]]
        assert line["samples_per_s"] >= line["steps_per_s"] > 0
        assert 0 < line["busy_share"] <= 1
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["preset"] == "tiny_random"
    assert list(run.glob("events.out.tfevents*"))
    assert not list(run.glob(".partial-*"))
    with Image.open(run / LOSSES) as picture:
        assert picture.format == "PNG"
    state = torch.load(run / CHECKPOINT, weights_only=True)
    assert (state["progress"]["stage_index"], state["progress"]["step"]) == (4, 18)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    for part in ("language.decoder", "vit", "projector", "seg_projector", "sam2"):
        assert any(name.startswith(part) for name in changed), part
    assert not model.training
    fit(model, tiny_loaded.tokenizer, [tiny_case], config, run=run, report=clock.report, clock=clock)
    assert len(lines_of(run)) == 18, "a finished run has nothing left to do"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    fresh: Callable[[int], MedVLSAM2], tiny_loaded: LoadedModel, tiny_case: Case, tmp_path: Path, number: int
) -> None:
    config = TrainConfig(**SMALL, stages=(2, 3), minutes=minutes(3, 7), seed=1)
    whole_model, whole = fresh(4), StepClock()
    fit(whole_model, tiny_loaded.tokenizer, [tiny_case], config, run=tmp_path / "a", report=whole.report, clock=whole)

    before = signal.getsignal(number)
    clock = StepClock()

    def stop_at_step_6(line: Line) -> None:
        clock.report(line)
        if line.step == 6:
            os.kill(os.getpid(), number)

    run = tmp_path / "b"
    with pytest.raises(Stopped, match="step 6") as stopped:
        fit(fresh(4), tiny_loaded.tokenizer, [tiny_case], config, run=run, report=stop_at_step_6, clock=clock)
    assert stopped.value.number == number
    assert signal.getsignal(number) is before
    stored = torch.load(run / CHECKPOINT, weights_only=True)["progress"]
    assert (stored["stage_index"], stored["stage_step"], stored["step"]) == (1, 3, 6)

    resumed, later = fresh(9), StepClock()
    fit(resumed, tiny_loaded.tokenizer, [tiny_case], config, run=run, report=later.report, clock=later)
    assert [line.step for line in later.lines] == [7, 8, 9, 10]
    timeless = [{k: v for k, v in line.items() if not k.endswith("_s") and k != "busy_share"} for line in lines_of(run)]
    assert timeless == [{k: line[k] for k in timeless[0]} for line in lines_of(tmp_path / "a")]
    for name, tensor in whole_model.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_by_steps_the_clock_does_not_count(
    fresh: Callable[[int], MedVLSAM2], tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    """Neither how many steps there are nor how fast the learning rate falls."""
    lines = []
    for number, second in enumerate((0.001, 100.0)):
        clock = StepClock(second)
        config = TrainConfig(**SMALL, stages=(0, 0), steps=(2, 3), minutes=(1.0,))
        run = tmp_path / str(number)
        fit(fresh(4), tiny_loaded.tokenizer, [], config, run=run, report=clock.report, clock=clock)
        lines.append([(line["step"], line["learning_rate"], line["losses"]["loss"]) for line in lines_of(run)])
    assert lines[0] == lines[1]
    rates = [rate for _, rate, _ in lines[0]]
    assert len(rates) == 5
    assert rates[1] < TrainConfig().learning_rates[0] * 0.05, "each stage ends at the end of its cosine"


class PowerCut(Exception):
    """Raised to end a run without a checkpoint, as a power cut does."""


def test_after_a_power_cut_it_goes_on_from_the_last_checkpoint(
    fresh: Callable[[int], MedVLSAM2], tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    run, clock = tmp_path / "run", StepClock()
    config = TrainConfig(**SMALL, stages=(0, 0), minutes=minutes(3, 8), checkpoint_minutes=1.5 / 60)

    def cut(line: Line) -> None:
        clock.report(line)
        if line.step == 8:
            raise PowerCut

    with pytest.raises(PowerCut):
        fit(fresh(4), tiny_loaded.tokenizer, [], config, run=run, report=cut, clock=clock)
    stored = torch.load(run / CHECKPOINT, weights_only=True)["progress"]
    assert (stored["stage_index"], stored["step"]) == (1, 7)
    assert [line["step"] for line in lines_of(run)] == list(range(1, 9))
    fit(fresh(9), tiny_loaded.tokenizer, [], config, run=run, report=clock.report, clock=clock)
    assert [line["step"] for line in lines_of(run)] == list(range(1, 12)), "step 8 was done anew"


def test_the_best_weights_by_validation_are_the_result(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case, tmp_path: Path
) -> None:
    scores = iter([0.1, 0.7, 0.3, 0.2])
    seen: list[dict[str, torch.Tensor]] = []

    def validate(given: MedVLSAM2) -> float:
        assert not given.training
        assert not torch.is_grad_enabled()
        seen.append({name: tensor.clone() for name, tensor in given.state_dict().items()})
        return next(scores)

    run, clock = tmp_path / "run", StepClock()
    config = TrainConfig(**SMALL, stages=(1, 3), minutes=minutes(5, 8), validation_minutes=1.5 / 60, ema_decay=0.9)
    told = fit(
        model, tiny_loaded.tokenizer, [tiny_case], config, run=run, report=clock.report, clock=clock, validate=validate
    )
    validations = lines_of(run, "validations.jsonl")
    assert [line["step"] for line in validations] == [7, 9, 11, 13], "in the last stage alone, and at its end"
    assert [line["is_best"] for line in validations] == [True, True, False, False]
    assert told == Outcome(steps=13, validation_score=0.7)
    assert [line.best for line in clock.lines[-3:]] == [0.7, 0.7, 0.7]
    fitted = ("score_bias", "evidence_shift", "decoder_weight", "bias_shift")
    fitted_later = {f"sam2.text_similarity.{name}" for name in fitted}
    differing = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, seen[1][name])}
    assert differing <= fitted_later
    assert {name for name, tensor in seen[3].items() if not torch.equal(tensor, seen[1][name])} > {
        "sam2.text_similarity.score_bias"
    }
    assert torch.load(run / BEST, weights_only=True)["step"] == 9


def test_the_average_is_validated_and_saved_and_training_goes_on_with_the_weights(
    fresh: Callable[[int], MedVLSAM2], tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    """Validating the average must not change the trained weights."""
    losses, results = [], []
    for number, validate in enumerate((None, lambda _: 0.0)):
        clock, model = StepClock(), fresh(4)
        config = TrainConfig(**SMALL, stages=(0,), minutes=minutes(8), validation_minutes=0.0, ema_decay=0.9)
        run = tmp_path / str(number)
        fit(model, tiny_loaded.tokenizer, [], config, run=run, report=clock.report, clock=clock, validate=validate)
        losses.append([line.losses["loss"] for line in clock.lines])
        results.append(model.state_dict())
    assert losses[0] == losses[1]
    plain, clock = fresh(4), StepClock()
    config = TrainConfig(**SMALL, stages=(0,), minutes=minutes(8), ema_decay=0.0)
    fit(plain, tiny_loaded.tokenizer, [], config, run=tmp_path / "c", report=clock.report, clock=clock)
    assert [line.losses["loss"] for line in clock.lines] == losses[0]
    name = "language.decoder.base_model.model.model.norm.weight"
    assert not torch.equal(plain.state_dict()[name], results[0][name])


def test_workers_draw_the_same_run(
    fresh: Callable[[int], MedVLSAM2], tiny_loaded: LoadedModel, tiny_case: Case, tmp_path: Path
) -> None:
    losses = []
    for num_workers in (0, 2):
        clock = StepClock()
        config = TrainConfig(**SMALL, stages=(3,), minutes=minutes(6), num_workers=num_workers)
        run = tmp_path / str(num_workers)
        fit(fresh(4), tiny_loaded.tokenizer, [tiny_case], config, run=run, report=clock.report, clock=clock)
        losses.append([line.losses for line in clock.lines])
    assert losses[0] == losses[1]


def test_options_of_the_slice_encoder(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def note(module: torch.nn.Module) -> None:
        compiled.append(module)

    monkeypatch.setattr(torch.nn.Module, "compile", note)
    clock = StepClock()
    config = TrainConfig(**SMALL, stages=(3,), minutes=minutes(2), compile=True, channels_last=True)
    fit(model, tiny_loaded.tokenizer, [tiny_case], config, run=tmp_path, report=clock.report, clock=clock)
    assert compiled == [model.sam2.image_encoder]
    weights = [p for p in model.sam2.image_encoder.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_checkpoint(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    clock = StepClock()
    config = TrainConfig(**SMALL, stages=(0,), minutes=minutes(8), checkpoint_minutes=1.5 / 60)

    def spoil(line: Line) -> None:
        clock.report(line)
        if line.step == 5:
            with torch.no_grad():
                next(iter(model.language.parameters())).fill_(torch.nan)

    with pytest.raises(InvalidConfig, match=r"loss is nan at step 6 of stage 0.*lower than 0.002"):
        fit(model, tiny_loaded.tokenizer, [], config, run=tmp_path, report=spoil, clock=clock)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["progress"]["step"] == 4


def test_another_run_is_not_continued(model: MedVLSAM2, tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    clock = StepClock()
    config = TrainConfig(**SMALL, stages=(0,), minutes=minutes(2))
    fit(model, tiny_loaded.tokenizer, [], config, run=tmp_path, report=clock.report, clock=clock)
    other = TrainConfig(**SMALL, stages=(0,), minutes=minutes(2), seed=7)
    with pytest.raises(InvalidConfig, match="run with seed 0, and 7 was given"):
        fit(model, tiny_loaded.tokenizer, [], other, run=tmp_path, report=clock.report, clock=clock)


def test_a_run_without_cases_is_refused(model: MedVLSAM2, tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    for stage, words in ((1, "No case to talk about"), (3, "0 phantoms and 0 labelled scans")):
        config = TrainConfig(**SMALL, stages=(stage,), minutes=(0.1,))
        with pytest.raises(DatasetError, match=words):
            fit(model, tiny_loaded.tokenizer, [], config, run=tmp_path / str(stage), report=lambda _: None)


def test_minutes_are_divided_among_the_stages() -> None:
    assert TrainConfig(minutes=(100.0,)).stage_minutes == pytest.approx((4, 2, 8, 86))
    assert TrainConfig(minutes=(94.0,), stages=(2, 3)).stage_minutes == pytest.approx((8, 86))
    assert TrainConfig(minutes=(1.0, 2.0), stages=(2, 3)).stage_minutes == (1.0, 2.0)
    assert TrainConfig(minutes=(5.0,), stages=(3,)).stage_minutes == (5.0,)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="2 values of minutes for 1 stages"):
        TrainConfig(stages=(3,), minutes=(1.0, 2.0))
    with pytest.raises(InvalidConfig, match=r"minutes \(0.0,\) given"):
        TrainConfig(minutes=(0.0,))
    with pytest.raises(InvalidConfig, match=r"stages \(5,\) given; allowed are some of 0, 1, 2, 3, 4\."):
        TrainConfig(stages=(5,), minutes=(1.0,))
    with pytest.raises(InvalidConfig, match=r"steps \(5,\) given for 2 stages"):
        TrainConfig(stages=(2, 3), steps=(5,))
    with pytest.raises(InvalidConfig, match=r"steps \(0,\) given"):
        TrainConfig(stages=(3,), steps=(0,))
    with pytest.raises(InvalidConfig, match="2 learning rates"):
        TrainConfig(learning_rates=(1e-3, 1e-3))
    with pytest.raises(InvalidConfig, match=r"ema_decay 1.0 given"):
        TrainConfig(ema_decay=1.0)
    with pytest.raises(InvalidConfig, match="num_workers -1 given"):
        TrainConfig(num_workers=-1)
