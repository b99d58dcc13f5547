"""The whole command with the tiny model: files, figures, and the same numbers twice."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from medvlsam2.cli import main
from medvlsam2.errors import InvalidRequest
from medvlsam2.evaluation.config import TASKS, EvaluationConfig
from medvlsam2.evaluation.measures.words import RELIABILITY

OF_TINY = tuple(task for task in TASKS if task != "handwritten")
"""Tasks of a model that writes no queries."""


def evaluate(tiny_model_dir, folder, *arguments, workers=1):
    given = ("evaluate", "--model", tiny_model_dir, "--device", "cpu", "-o", folder, "--workers", workers, *arguments)
    assert main([str(each) for each in given]) == 0
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture
def data(data, small_phantom):
    """The small data folder with three structures contoured, so that a run takes seconds."""
    chosen = ("liver", "kidney_left", "aorta")
    labels = {value: key for value, key in small_phantom.labels.items() if key in chosen}
    for card in data.glob("ct/*/meta.json"):
        card.write_text(json.dumps({"labels": labels}), encoding="utf-8")
    return data


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_two_runs_give_the_same_numbers(tiny_model_dir, small_phantom, data, tmp_path, capsys):
    liver = next(value for value, key in small_phantom.labels.items() if key == "liver")
    (data / "ct" / "A_1" / "meta.json").write_text(json.dumps({"labels": {liver: "liver"}}), encoding="utf-8")
    given = ("--data", data, "--phantoms", "1", "--groups", "A", "--limit", "1")
    first = evaluate(tiny_model_dir, tmp_path / "first", *given)
    second = evaluate(tiny_model_dir, tmp_path / "second", *given)
    assert first["rows"] == second["rows"]
    assert {row["task"] for row in first["rows"]} == {*OF_TINY, RELIABILITY}
    assert {row["group"] for row in first["rows"]} == {"A", "phantom"}
    assert all(row["n"] >= 1 and row["low"] is None for row in first["rows"])
    run = first["run"]
    assert (run["model_id"], run["version"], run["split"]) == (tiny_model_dir.name, "base", "val")
    assert set(run["seconds"]) == {"reading", *OF_TINY, "text metrics", "total"}
    files = {path.name: path for path in (tmp_path / "first").iterdir()}
    assert set(files) == {
        *("evaluation.json", "evaluation.md", "measurements.jsonl", "texts.jsonl"),
        *("structures.png", "interactive.png"),
    }
    for name in ("structures.png", "interactive.png"):
        assert len(set(Image.open(files[name]).convert("L").tobytes())) > 10
    table = files["evaluation.md"].read_text(encoding="utf-8")
    assert "| A | liver | dice | 1 | 1 |" in table
    assert "not a medical device" in capsys.readouterr().out


def test_tasks_and_splits_can_be_chosen(tiny_model_dir, data, tmp_path):
    found = evaluate(tiny_model_dir, tmp_path / "out", "--data", data, "--phantoms", "0", "--tasks", "segment")
    assert {row["task"] for row in found["rows"]} == {"segment", "reliability"}
    pooled = [row for row in found["rows"] if row["group"] == "all real scans"]
    assert {row["patients"] for row in pooled} == {3}


def test_processes_share_the_scans_and_give_the_same_numbers(tiny_model_dir, data, tmp_path):
    given = ("--data", data, "--phantoms", "0", "--tasks", "segment", "--groups", "A")
    alone = evaluate(tiny_model_dir, tmp_path / "alone", *given)
    shared = evaluate(tiny_model_dir, tmp_path / "shared", *given, workers=2)
    assert shared["run"]["processes"] == 2
    for one, other in zip(alone["rows"], shared["rows"], strict=True):
        assert {**one, "mean": 0, "low": 0, "high": 0} == {**other, "mean": 0, "low": 0, "high": 0}
        assert one["mean"] == pytest.approx(other["mean"], abs=1e-3)  # threads may round differently


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tasks", "segment,poem"], "'segment,poem' given; allowed are segment"),
        (["--phantoms", "0"], "nothing to look at"),
        (["--data", "nowhere"], "'nowhere' is neither a folder nor a manifest"),
        (["--limit", "0"], "limit of 0"),
        (["--workers", "0"], "--workers 0 given"),
    ],
)
def test_bad_requests_get_one_sentence(tiny_model_dir, tmp_path, capsys, arguments, sentence):
    code = main(["evaluate", "--model", str(tiny_model_dir), "-o", str(tmp_path / "out"), *arguments])
    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_evaluation_of_no_task_is_refused():
    with pytest.raises(InvalidRequest, match="No task"):
        EvaluationConfig(tasks=())


def test_a_model_that_writes_no_queries_cannot_do_the_hand_written_sets(tiny_model_dir, tmp_path, capsys):
    given = ["--tasks", "handwritten", "--phantoms", "1"]
    assert main(["evaluate", "--model", str(tiny_model_dir), "-o", str(tmp_path / "out"), *given]) == 2
    assert "No task given" in capsys.readouterr().err
