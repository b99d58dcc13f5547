"""The folder of a run: its options, its checkpoint, its best weights, its logs and its pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from medvlsam2 import atomic_files
from medvlsam2.errors import InvalidConfig
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.running import plots

CONFIG: Final = "config.json"
CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.pt"
METRICS: Final = "metrics.jsonl"
VALIDATIONS: Final = "validations.jsonl"
LOSSES: Final = "losses.png"


@dataclass
class Progress:
    """How far a run is; stored in its checkpoint."""

    stage_index: int = 0
    stage_seconds: float = 0.0
    stage_step: int = 0
    """Steps of this stage."""
    step: int = 0
    """Steps of all stages."""
    validated_s: float = 0.0
    """Second of the stage at which the last validation was."""

    def next_stage(self) -> None:
        """Stand at the beginning of the next stage."""
        self.stage_index += 1
        self.stage_seconds, self.stage_step, self.validated_s = 0.0, 0, 0.0


@dataclass(frozen=True)
class Line:
    """One line of progress, for bars and logs."""

    stage: int
    step: int
    fraction: float
    """Share of the stage's time that has passed."""
    losses: dict[str, float]
    """Means since the line before: ``loss`` over all steps, ``KIND/PART`` over the steps of a kind."""
    steps_per_s: float
    samples_per_s: float = 0.0
    busy_share: float = 0.0
    """Share of the time in which the device worked on steps."""
    validation: float | None = None
    """The newest score."""
    best: float | None = None
    """The best score."""


class RunFolder:
    """Files of one run. A run that begins anew removes the files of an older one.

    Args:
        path: the folder.
        report: called with each line.
    """

    def __init__(self, path: Path, report: Callable[[Line], None]) -> None:
        self.path = path
        self._report = report
        self.state: dict[str, Any] | None = _read_state(path / CHECKPOINT)
        self.progress = Progress() if self.state is None else Progress(**self.state["progress"])
        self.best_score: float | None = None
        self.last_score: float | None = None
        path.mkdir(parents=True, exist_ok=True)
        if self.state is None:
            for name in (BEST, METRICS, VALIDATIONS, LOSSES):
                (path / name).unlink(missing_ok=True)
        else:
            self._take_back()
        self._writer = SummaryWriter(str(path), purge_step=self.progress.step + 1)

    def close(self) -> None:
        """Finish the logs."""
        self._writer.close()

    def begin(self, config: TrainConfig) -> None:
        """Store the options of the run.

        Raises:
            InvalidConfig: if the folder holds another run.
        """
        path = self.path / CONFIG
        told = {**asdict(config), "stage_minutes": config.stage_minutes}
        if self.state is not None and path.is_file():
            _require_same(json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(told)), self)
        atomic_files.write_text(path, json.dumps(told, indent=2))

    def write(self, line: Line, *, learning_rate: float) -> None:
        """One line to the file, to TensorBoard and to the caller."""
        self._append(METRICS, {**asdict(line), "learning_rate": learning_rate})
        for name, value in {**line.losses, "learning_rate": learning_rate}.items():
            self._writer.add_scalar(f"stage{line.stage}/{name}", value, line.step)
        for name in ("steps_per_s", "samples_per_s", "busy_share"):
            self._writer.add_scalar(f"speed/{name}", getattr(line, name), line.step)
        self._report(line)

    def write_validation(self, score: float, seconds: float, weights: dict[str, Tensor]) -> None:
        """A score, and the weights if it is the best so far."""
        step = self.progress.step
        is_best = self.best_score is None or score > self.best_score
        self.last_score = score
        self._append(VALIDATIONS, {"step": step, "score": score, "is_best": is_best, "seconds": round(seconds, 2)})
        self._writer.add_scalar("validation/score", score, step)
        if is_best:
            self.best_score = score
            best = {"model": weights, "score": score, "step": step}
            with atomic_files.replacing(self.path / BEST) as part:
                torch.save(best, part)

    def best(self) -> dict[str, Any] | None:
        """Weights of the best validation, with its score and step."""
        return _read_state(self.path / BEST)

    def save(self, model: dict[str, Tensor], **state: object) -> None:
        """The checkpoint, complete or not at all, and the picture of the losses so far."""
        whole = {"model": model, "progress": asdict(self.progress), **state}
        with atomic_files.replacing(self.path / CHECKPOINT) as part:
            torch.save(whole, part)
        self.draw()

    def draw(self) -> None:
        """The picture of the losses."""
        lines, scores = self._read(METRICS), self._read(VALIDATIONS)
        if lines:
            with atomic_files.replacing(self.path / LOSSES) as part:
                plots.draw_losses(lines, scores, part)

    def _take_back(self) -> None:
        """Remove lines of the log, and best weights, that are newer than the checkpoint: those steps are run again."""
        step = self.progress.step
        for name in (METRICS, VALIDATIONS):
            kept = "".join(json.dumps(line) + "\n" for line in self._read(name) if line["step"] <= step)
            atomic_files.write_text(self.path / name, kept)
        best = self.best()
        if best is not None and best["step"] > step:
            (self.path / BEST).unlink()
        elif best is not None:
            self.best_score = best["score"]

    def _append(self, name: str, record: dict[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def _read(self, name: str) -> list[dict[str, Any]]:
        path = self.path / name
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


class FollowedRun(RunFolder):
    """The folder as the other processes of a training see it: they read how far the run is, and write nothing."""

    def __init__(self, path: Path, report: Callable[[Line], None]) -> None:
        self.path = path
        self.state = _read_state(path / CHECKPOINT)
        self.progress = Progress() if self.state is None else Progress(**self.state["progress"])
        self.best_score = self.last_score = None

    def close(self) -> None:
        """There is nothing to finish."""

    def begin(self, config: TrainConfig) -> None:
        """The first process stores the options."""

    def write(self, line: Line, *, learning_rate: float) -> None:
        """The first process writes it."""

    def save(self, model: dict[str, Tensor], **state: object) -> None:
        """The first process saves it."""


def _read_state(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _require_same(old: dict[str, Any], new: dict[str, Any], folder: RunFolder) -> None:
    begun = folder.progress.stage_index + 1
    pairs = {name: (old.get(name), new[name]) for name in ("preset", "seed")}
    pairs["stages"] = (old["stages"][:begun], new["stages"][:begun])
    for name, (before, now) in pairs.items():
        if before != now:
            raise InvalidConfig(
                f"'{folder.path}' holds a run with {name} {before}, and {now} was given. Give the same value to go on "
                "with it, or another folder to begin anew."
            )
