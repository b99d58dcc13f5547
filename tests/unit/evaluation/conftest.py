"""A small data folder, and phantoms small enough to evaluate in seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume_files import write_volume
from medvlsam2.evaluation import scans
from medvlsam2.evaluation.measures import questions, referring, reports
from medvlsam2.tasks import converse
from medvlsam2.tasks.questions import door

NOT_CONTOURED = "spleen"


@pytest.fixture
def data(small_phantom: Phantom, tmp_path: Path) -> Path:
    """One scan in the project's layout, twice under other names; the spleen was not contoured."""
    folder = tmp_path / "data"
    labels = {value: key for value, key in small_phantom.labels.items() if key != NOT_CONTOURED}
    for case_id in ("A_1", "A_2", "B_1"):
        case = folder / "ct" / case_id
        case.mkdir(parents=True)
        write_volume(case / "image.nii.gz", small_phantom.volume)
        write_label_map(case / "label.nii.gz", small_phantom.label_map, small_phantom.volume.affine, {})
        (case / "meta.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")
    (folder / "split.json").write_text(json.dumps({"val": ["A_1", "A_2", "B_1"], "train": []}), encoding="utf-8")
    return folder


@pytest.fixture
def small_phantoms(small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every phantom is the small one."""
    monkeypatch.setattr(scans.phantom, "generate", lambda _seed, _config: small_phantom)


@pytest.fixture
def few(small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit structures, phrases, questions and tokens, because a random model never ends its text by itself."""
    labels = {value: key for value, key in small_phantom.labels.items() if key in ("liver", "kidney_left")}
    few = replace(small_phantom, labels=labels)
    monkeypatch.setattr(scans.phantom, "generate", lambda _seed, _config: few)
    monkeypatch.setattr(questions, "QUESTIONS_EACH", 2)
    monkeypatch.setattr(referring, "PHRASES_EACH", 2)
    monkeypatch.setattr(door, "ANSWER_TOKENS", 6)
    monkeypatch.setattr(reports, "report", partial(converse.report, max_new_tokens=12))
    monkeypatch.setattr(reports, "IMAGINED_EACH", 1)
