"""Two processes train one model: the same weights in both, one log, one model folder, and they stop together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medvlsam2.model import checkpoint
from medvlsam2.training.data.cases import Case
from medvlsam2.training.running.run_folder import METRICS

pytestmark = pytest.mark.slow

# torchrun would read --run as a short form of its own options; -- ends those.
TOGETHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(*words: object) -> None:
    """Two processes, to their end."""
    done = subprocess.run(
        [*TOGETHER, *map(str, words)], stderr=subprocess.PIPE, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def both(tiny_model_dir: Path, tiny_case: Case, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("together")
    start("--", Path(__file__).with_name("two_fits.py"), folder, tiny_model_dir, tiny_case.folder)
    return [torch.load(folder / f"fit-{number}.pt", weights_only=True) for number in range(2)]


@pytest.mark.parametrize("part", ["whole", "stopped", "rest"])
def test_both_processes_have_the_same_weights(both: list[dict], part: str) -> None:
    first, second = (found[part]["weights"] for found in both)
    assert [name for name, tensor in first.items() if not torch.equal(tensor, second[name])] == []


def test_the_first_ones_clock_ends_the_stages_and_it_alone_reports(both: list[dict]) -> None:
    assert [found["whole"]["told"] for found in both] == [7, 7]
    assert [found["whole"]["lines"] for found in both] == [list(range(1, 8)), []]


def test_both_stop_when_the_first_is_told_to_and_go_on_from_its_checkpoint(both: list[dict]) -> None:
    assert {found["stopped"]["told"] for found in both} == {"stopped at step 2; the same command goes on from there"}
    assert [found["rest"]["lines"] for found in both] == [list(range(3, 8)), []]
    for found in both:
        whole, rest = found["whole"]["weights"], found["rest"]["weights"]
        assert [name for name, tensor in whole.items() if not torch.equal(tensor, rest[name])] == []


def test_torchrun_trains_a_model_folder(tiny_model_dir: Path, tiny_case: Case, tmp_path: Path) -> None:
    seed = int(tiny_case.folder.name.split("_")[1])
    start(
        *("-m", "--", "medvlsam2.cli", "train", "--preset", "tiny_random", "--initial", tiny_model_dir),
        *("--run", tmp_path / "run", "--output", tmp_path / "model", "--cache", tiny_case.folder.parent),
        *("--phantoms", 1, "--phantom_seed", seed, "--validation_cases", 0, "--num_workers", 0),
        *("--texts_per_step", 1, "--copy_share", 1, "--reading_share", 0, "--cases_per_step", 1),
        *("--stages", "0,1", "--minutes", "0.15,0.01"),
    )
    told = checkpoint.load(tmp_path / "model").metadata["training"]
    assert told["processes"] == 2
    lines = [json.loads(line)["step"] for line in (tmp_path / "run" / METRICS).read_text(encoding="utf-8").splitlines()]
    assert lines == list(range(20, told["steps"] + 1, 20))
