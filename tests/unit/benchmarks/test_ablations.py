"""The paper's three ablations: the differences between the variants, and each command on tiny phantoms."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import ablations
import numpy as np
import pytest
import torch

from medvlsam2.data import phantom
from medvlsam2.data.phantom import Phantom
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.model import builders
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.running.run_folder import BEST
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.mix import mix

TINY = builders.TINY_RANDOM


def test_one_stage_has_the_shares_of_all_stages(tiny_loaded: LoadedModel, tiny_case: Case) -> None:
    staged = TrainConfig(stages=(1, 2, 3), minutes=(1.0, 6.0, 60.0))
    single = ablations.all_at_once(staged)
    assert single.stages == (3,)
    assert single.stage_minutes == (67.0,)

    def minutes_of(config: TrainConfig) -> dict[str, float]:
        source = Source(tiny_loaded.tokenizer, [tiny_case], config, TINY.sam2, TINY.language.max_position_embeddings)
        found: dict[str, float] = {}
        for stage, length in zip(config.stages, config.stage_minutes, strict=True):
            for kind, share in mix(stage, source, has_similarity=True).items():
                found[kind] = found.get(kind, 0.0) + share * length
        return found

    assert minutes_of(single) == pytest.approx(minutes_of(staged))


def test_variants_start_with_equal_weights_except_for_the_projector(
    tiny_model_dir: Path, tiny_model: MedVLSAM2
) -> None:
    linear = replace(TINY, projector=replace(TINY.projector, kind="linear"))
    mixer_model, linear_model = ablations.begin(tiny_model_dir, TINY), ablations.begin(tiny_model_dir, linear)
    start, mixer, single = (model.state_dict() for model in (tiny_model, mixer_model, linear_model))
    shared = [name for name in start if not name.startswith("projector.")]
    assert shared == [name for name in single if not name.startswith("projector.")]
    for name in shared:
        assert torch.equal(mixer[name], start[name]), name
        assert torch.equal(single[name], start[name]), name
    assert type(mixer_model.projector) is not type(linear_model.projector)


def test_ways_of_asking() -> None:
    truth = np.zeros((9, 9, 9), dtype=bool)
    truth[2:7, 3:8, 1:6] = True
    ways = ablations.ways_of_asking("liver", truth)
    assert list(ways) == ["[SEG]", "[SEG] + click", "[SEG] + box", "click", "box"]
    assert [way.text for way in ways.values()] == ["liver"] * 3 + [None] * 2
    assert ways["click"].points_ijk == ways["[SEG] + click"].points_ijk == ((4.0, 5.0, 3.0),)
    assert ways["box"].box_ijk == ways["[SEG] + box"].box_ijk == (2, 7, 3, 8, 1, 6)
    assert ways["[SEG]"].box_ijk is None


def test_every_way_is_measured_for_every_structure(small_phantom: Phantom, tiny_model_dir: Path) -> None:
    truth = {key: small_phantom.label_map == value for value, key in small_phantom.labels.items()}
    scan = LabelledScan(small_phantom.volume, "p", "phantom", {key: truth[key] for key in ("liver", "aorta")})
    found = list(ablations.measure_prompts(Engine(tiny_model_dir), scan))
    assert len(found) == 10
    assert {(name, each.subject) for name, each in found} == {
        (name, key) for name in ablations.ways_of_asking("liver", truth["liver"]) for key in ("liver", "aorta")
    }


def test_loss_is_less_for_answers_that_were_learnt(tiny_loaded: LoadedModel, tiny_case: Case) -> None:
    loss = [each.value for each in ablations.language_losses(tiny_loaded, [tiny_case])]
    again = [each.value for each in ablations.language_losses(tiny_loaded, [tiny_case])]
    assert loss == again, "the same questions each time"
    assert loss[0] == pytest.approx(np.log(TINY.language.vocab_size), rel=0.2), "an untrained model guesses"


@pytest.fixture
def small_phantoms(small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every phantom is the small one, with three structures to segment."""
    chosen = ("liver", "kidney_left", "aorta")
    few = replace(small_phantom, labels={value: key for value, key in small_phantom.labels.items() if key in chosen})
    monkeypatch.setattr(phantom, "generate", lambda *_: few)


@pytest.mark.slow
@pytest.mark.usefixtures("small_phantoms")
@pytest.mark.parametrize(
    ("check", "stages"),
    [
        ("projector", {"mixer": {1, 2}, "linear": {1, 2}}),
        ("stages", {"staged": {1, 2, 3}, "one stage": {3}}),
    ],
)
def test_trainings_side_by_side(
    check: str,
    stages: dict[str, set[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr("medvlsam2.training.train.TOKENIZER_TEXTS", 300)
    monkeypatch.setattr("medvlsam2.training.loop.LOG_EVERY_STEPS", 1)
    output, threads = tmp_path / "result.json", torch.get_num_threads()
    options = {
        "preset": "tiny_random",
        "minutes": 0.1,
        "language-minutes": 0.02,
        "phantoms": 1,
        "held-out": 1,
        "threads": threads,
        "run": tmp_path / "run",
        "cache": tmp_path / "cache",
        "output": output,
    }
    ablations.main([check, *(f"--{name}={value}" for name, value in options.items())])
    record = json.loads(output.read_text(encoding="utf-8"))
    assert {row["task"] for row in record["rows"]} == set(stages)
    metrics = {row["metric"] for row in record["rows"]}
    assert {"multiple choice", "loss (less is better)"} <= metrics
    assert ("dice" in metrics) == (check == "stages")
    assert f"| {' | '.join(stages)} |" in capsys.readouterr().out
    for name, wanted in stages.items():
        folder = tmp_path / "run" / name.replace(" ", "-")
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {line["stage"] for line in lines} == wanted
        assert not (folder / BEST).exists(), "both are measured at their end"
        loaded = Engine(folder / "model").loaded()
        assert loaded.config.projector.kind == ("linear" if name == "linear" else "mixer")
        assert bool(loaded.metadata["structures"]) == (check == "stages"), "measurements would hide the projector"


@pytest.mark.slow
@pytest.mark.usefixtures("small_phantoms")
def test_prompts_are_compared(tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = shutil.copytree(tiny_model_dir, tmp_path / "model")
    threads = torch.get_num_threads()
    ablations.main(["prompts", "--model", str(folder), "--held-out", "1", "--threads", str(threads)])
    printed = capsys.readouterr().out
    assert "| [SEG] | [SEG] + click | [SEG] + box | click | box |" in printed
    assert "| phantom | liver | dice | 1 |" in printed


def test_nothing_is_left_out_of_the_options() -> None:
    parsed = ablations._parser().parse_args(["stages"])
    assert isinstance(parsed, Namespace)
    assert parsed.run == Path("runs/stages")
