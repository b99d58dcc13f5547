"""The folder of a run: meter, plots, atomic files, and the removal of lines after the checkpoint on resume."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medvlsam2.training.config import TrainConfig
from medvlsam2.training.running import run_folder
from medvlsam2.training.running.meter import DeviceTimer, Meter
from medvlsam2.training.running.plots import draw_losses
from medvlsam2.training.running.run_folder import Line, RunFolder
from medvlsam2.training.steps.pixels.masks import StepResult


def line(step: int, stage: int = 3, **losses: float) -> Line:
    return Line(stage, step, 0.5, {"loss": 1.0 / step, **losses}, steps_per_s=1.0)


def steps_of(path: Path) -> list[int]:
    return [json.loads(text)["step"] for text in path.read_text(encoding="utf-8").splitlines()]


def test_log_lines_after_the_checkpoint_are_removed_on_resume(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, lambda _: None)
    folder.begin(TrainConfig())
    weights = {"w": torch.ones(2)}
    for step in range(1, 6):
        folder.progress.step = step
        folder.write(line(step), learning_rate=1e-3)
        folder.write_validation(step / 10, 1.0, weights)
        if step == 3:
            folder.save(weights)
    folder.close()
    assert folder.best_score == 0.5
    again = RunFolder(tmp_path, lambda _: None)
    assert again.progress.step == 3
    assert steps_of(tmp_path / "metrics.jsonl") == steps_of(tmp_path / "validations.jsonl") == [1, 2, 3]
    assert again.best() is None, "the best weights were found after the checkpoint"
    again.close()


def test_the_best_score_is_known_after_a_pause(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, lambda _: None)
    for step, score in ((1, 0.4), (2, 0.2)):
        folder.progress.step = step
        folder.write_validation(score, 1.0, {"w": torch.full((2,), float(step))})
    folder.save({"w": torch.zeros(2)})
    folder.close()
    again = RunFolder(tmp_path, lambda _: None)
    again.progress.step = 3
    again.write_validation(0.3, 1.0, {"w": torch.full((2,), 3.0)})
    best = again.best()
    assert best is not None
    assert (again.best_score, best["score"], best["step"], best["model"]["w"].tolist()) == (0.4, 0.4, 1, [1.0, 1.0])
    again.close()


def test_a_run_that_begins_clears_what_an_older_one_left(tmp_path: Path) -> None:
    for name in (run_folder.METRICS, run_folder.VALIDATIONS, run_folder.BEST):
        (tmp_path / name).write_text("old", encoding="utf-8")
    folder = RunFolder(tmp_path, lambda _: None)
    assert folder.best() is None
    folder.write(line(1), learning_rate=1e-3)
    folder.close()
    assert steps_of(tmp_path / "metrics.jsonl") == [1]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path, lambda _: None)
    folder.progress.step = 1
    folder.save({"w": torch.zeros(2)})

    def full(state: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(run_folder.torch, "save", full)
    folder.progress.step = 2
    with pytest.raises(OSError, match="No space"):
        folder.save({"w": torch.ones(2)})
    folder.close()
    assert RunFolder(tmp_path, lambda _: None).progress.step == 1


def test_the_picture_shows_every_term_and_the_scores(tmp_path: Path) -> None:
    lines = [
        {"stage": stage, "step": step, "losses": {"loss": 1 / step, f"{kind}/loss": 0.5}}
        for step, (stage, kind) in enumerate([(0, "text")] * 4 + [(3, "masks")] * 30, start=1)
    ]
    scores = [{"step": 10, "score": 0.2}, {"step": 20, "score": 0.6}]
    heights = []
    for number, validations in enumerate((scores, [])):
        path = tmp_path / f"{number}.png"
        draw_losses(lines, validations, path)
        with Image.open(path) as picture:
            heights.append(picture.size[1])
            ink = np.asarray(picture.convert("L")) < 250
        assert ink.mean() > 0.01
    assert heights[0] > heights[1], "four panels take two rows, three take one"


def test_the_meter_means_each_term_over_its_own_steps() -> None:
    meter = Meter(torch.device("cpu"))
    for kind, loss, count in (("masks", 1.0, 2), ("dense", 3.0, 4), ("masks", 2.0, 2)):
        with meter.step():
            time.sleep(0.01)
        value = torch.tensor(loss, requires_grad=True)
        meter.add(kind, StepResult(value, {"dice": value.detach() / 10}), torch.tensor(0.5), count)
    time.sleep(0.03)
    losses, speed = meter.read()
    assert losses == pytest.approx(
        {
            "loss": 2.0,
            "grad_norm": 0.5,
            "masks/loss": 1.5,
            "masks/dice": 0.15,
            "dense/loss": 3.0,
            "dense/dice": 0.3,
        }
    )
    assert speed.samples_per_s / speed.steps_per_s == pytest.approx(8 / 3)
    assert 0.03 / 0.12 < speed.busy_share < 0.9
    with meter.step():
        pass
    meter.add("clip", StepResult(torch.tensor(7.0), {}), torch.tensor(0.5), 1)
    assert set(meter.read()[0]) == {"loss", "grad_norm", "clip/loss"}, "each reading starts anew"


def test_the_stopwatch_adds_up_and_starts_anew() -> None:
    watch = DeviceTimer(torch.device("cpu"))
    for _ in range(2):
        with watch.running():
            time.sleep(0.02)
    assert 0.04 <= watch.read_s() < 1.0
    assert watch.read_s() == 0.0
