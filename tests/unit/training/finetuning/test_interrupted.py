"""A fine-tuning that was interrupted goes on, or begins anew; it never publishes half a model."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.training.finetuning import hold_out
from medvlsam2.training.finetuning.finetune import FinetuneConfig, PublishedVersion, finetune
from medvlsam2.training.interrupt import Stopped
from medvlsam2.training.running.run_folder import CHECKPOINT

CONFIG = FinetuneConfig(epochs=3, steps_per_scan=1)


@pytest.fixture(autouse=True)
def _equal_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate lets everything through."""
    monkeypatch.setattr(hold_out, "measure", lambda *_: {"scan": {"liver": 0.5}})
    monkeypatch.setattr(hold_out, "sizes", lambda _: {"scan": {"liver": 4000}})


Run = Callable[..., tuple[PublishedVersion, list[int]]]


@pytest.fixture
def run(submitted: FinalLabel) -> Run:
    """A fine-tuning, and the epochs that it has told of; it gets SIGTERM at the end of one of them."""

    def run(model_dir: Path, work: Path, *, stop_after: int | None = None, **changes: object):
        epochs: list[int] = []

        def told(epoch: int, _: int, __: float) -> None:
            epochs.append(epoch)
            if epoch == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)

        config = replace(CONFIG, **changes)
        return finetune(model_dir, [submitted], config, work=work, progress=told), epochs

    return run


def adapter(model_dir: Path, version: str) -> dict[str, torch.Tensor]:
    return load_file(str(version_folders.version_folder(model_dir, version) / version_folders.ADAPTER))


def test_it_goes_on_to_the_same_version(model_dir: Path, work: Path, run: Run, tmp_path: Path) -> None:
    other_dir = Path(shutil.copytree(model_dir, tmp_path / "other" / model_dir.name))
    shutil.copystat(model_dir / version_folders.WEIGHTS, other_dir / version_folders.WEIGHTS)
    whole, epochs = run(other_dir, tmp_path / "other-work")
    assert epochs == [1, 2, 3]

    with pytest.raises(Stopped, match="step 2"):
        run(model_dir, work, stop_after=2)
    assert version_folders.versions(model_dir) == ["base"], "nothing is published before the last step"
    assert len(list(work.glob(f"run-*/{CHECKPOINT}"))) == 1
    assert work.stat().st_mode & 0o077 == 0, "prepared scans are a patient's"

    resumed, epochs = run(model_dir, work)
    assert epochs == [3], "one step is one epoch here: it stopped after the step in which it was told"
    expected = adapter(other_dir, whole.version)
    found = adapter(model_dir, resumed.version)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert resumed.metrics == whole.metrics
    assert not work.exists()


def test_with_other_options_it_begins_anew(model_dir: Path, work: Path, run: Run) -> None:
    with pytest.raises(Stopped):
        run(model_dir, work, stop_after=1)
    found, epochs = run(model_dir, work, epochs=2)
    assert epochs == [1, 2]
    assert found.published


def test_a_run_that_was_killed_after_its_version_was_written_is_not_done_again(
    model_dir: Path, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is there and not in use yet: the next run has only that to do."""

    class Killed(Exception):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "set_current", kill)
        with pytest.raises(Killed):
            run(model_dir, work)
    assert (version_folders.versions(model_dir), version_folders.current_version(model_dir)) == (
        ["base", "v0001"],
        "base",
    )
    found, epochs = run(model_dir, work)
    assert (found.version, found.published, epochs) == ("v0001", True, [])
    assert version_folders.current_version(model_dir) == "v0001"
    assert version_folders.versions(model_dir) == ["base", "v0001"]
