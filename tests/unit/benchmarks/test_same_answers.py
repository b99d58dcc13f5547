"""The comparison of recorded answers: equal records are equal, and one voxel or one word is seen."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import same_answers

from medvlsam2.data.phantom import Phantom
from medvlsam2.evaluation import scans
from medvlsam2.tasks import converse
from medvlsam2.tasks.questions import door


@pytest.fixture
def recorded(
    tiny_model_dir: Path, small_phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A record of the requests about one phantom with one structure, and a copy of the record."""
    liver = {value: key for value, key in small_phantom.labels.items() if key == "liver"}
    monkeypatch.setattr(scans.phantom, "generate", lambda _seed, _config: replace(small_phantom, labels=liver))
    monkeypatch.setattr(same_answers, "PHANTOM_SEEDS", (1,))
    monkeypatch.setattr(same_answers, "PHRASES", ("kidneys",))
    monkeypatch.setattr(same_answers, "QUESTIONS", 1)
    monkeypatch.setattr(door, "ANSWER_TOKENS", 6)
    monkeypatch.setattr(converse, "report", partial(converse.report, grounded=False, max_new_tokens=12))
    same_answers.record(tiny_model_dir, None, tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    return tmp_path / "before", tmp_path / "after"


def test_a_changed_voxel_and_a_changed_word_are_seen(recorded, capsys):
    before, after = recorded
    assert same_answers.compare(before, after) == 0
    # by name, "kidneys", three ways of clicking, a box, a report and a question
    assert "8 of 8 requests have the same answer" in capsys.readouterr().out

    maps = dict(np.load(after / "phantom_1.npz"))
    maps["kidneys"] = maps["kidneys"].copy()
    maps["kidneys"][3, 4, 5] += 1
    np.savez_compressed(after / "phantom_1.npz", **maps)
    answers = json.loads((after / same_answers.ANSWERS).read_text(encoding="utf-8"))
    answers["phantom_1"]["report"] += " More."
    (after / same_answers.ANSWERS).write_text(json.dumps(answers), encoding="utf-8")

    assert same_answers.compare(before, after) == 1
    told = capsys.readouterr().out
    assert "phantom_1, kidneys: 1 voxels" in told
    assert "More.'" in told
    assert "6 of 8 requests have the same answer" in told
