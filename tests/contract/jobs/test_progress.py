"""The progress bars of 3D Slicer and OHIF during a training, computed by their own formulas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from label_tasks.jobs.progress import TrainingProgress

EPOCHS = 4


def slicer_percent(stats: dict[str, Any]) -> float:
    """MONAILabel's Slicer module, ``monitorTraining``."""
    current = 0 if stats.get("total_time") else stats.get("epoch", 1)
    return float(max(1, 100 * current / stats.get("total_epochs", 1)))


def ohif_percent(stats: dict[str, Any]) -> int:
    """The panel in the wheel's OHIF, ``ActiveLearning``."""
    epochs = 0 if stats.get("total_time") else stats["epoch"] if stats.get("epoch") else 1
    return round(100 * (epochs / stats["total_epochs"] if stats.get("total_epochs") else 1))


@pytest.fixture
def progress(tmp_path: Path) -> TrainingProgress:
    return TrainingProgress(tmp_path / "stats.json")


def shown(progress: TrainingProgress) -> tuple[float, int]:
    stats = progress.told(EPOCHS)
    return slicer_percent(stats), ohif_percent(stats)


def test_before_during_and_after_a_run(progress: TrainingProgress) -> None:
    assert shown(progress) == (1, 0)
    with progress.running(EPOCHS):
        assert shown(progress) == (1, 0)
        progress.epoch_done(1, EPOCHS, 0.5)
        assert shown(progress) == (25, 25)
        progress.epoch_done(3, EPOCHS, float("nan"))
        assert shown(progress) == (75, 75)
        progress.end(EPOCHS, {"best_metric": 0.7})
    assert shown(progress) == (100, 100)
    assert progress.told(EPOCHS)["best_metric"] == 0.7
    with progress.running(EPOCHS):
        assert shown(progress) == (1, 0)
        progress.epoch_done(2, EPOCHS, 0.1)
        assert shown(progress) == (50, 50)
        assert progress.told(EPOCHS)["best_metric"] == 0.7  # until this run has found its own
        json.dumps(progress.told(EPOCHS), allow_nan=False)


def test_a_killed_run_is_not_shown_as_running(progress: TrainingProgress, tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    path.write_text(json.dumps({"epoch": 2, "total_epochs": 4, "best_metric": 0.6}), encoding="utf-8")
    told = progress.told(EPOCHS)
    assert (told["interrupted"], told["best_metric"], shown(progress)) == (True, 0.6, (1, 0))


def test_a_run_of_another_process_is_seen(progress: TrainingProgress, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from label_tasks.jobs.progress import TrainingProgress\n"
        "progress = TrainingProgress(Path(sys.argv[1]))\n"
        "with progress.running(4):\n"
        "    progress.epoch_done(1, 4, 0.5); print('on its way', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "stats.json")]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=paths, encoding="utf-8"
    ) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "on its way\n"
        assert shown(progress) == (25, 25)
        training.kill()
        training.wait()
    assert shown(progress) == (1, 0)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"epoch": "x", "total_epochs": 0}', '{"epoch": 4, "total_time": 3}']
)
def test_a_damaged_file_is_as_before_any_run(progress: TrainingProgress, tmp_path: Path, content: str) -> None:
    (tmp_path / "stats.json").write_text(content, encoding="utf-8")
    assert shown(progress) == (1, 0)
