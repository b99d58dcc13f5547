"""Strokes as Slicer sends them: which segment means what, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_tasks.infer.scribbles import scribbled
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import GeometryMismatch, InvalidPrompt, InvalidRequest
from medvlsam2.tasks.prompts import BESIDE, ON_OBJECT

SHAPE = (6, 7, 8)
INFO = [
    {"name": "spleen", "id": 1},
    {"name": "Segment_2", "id": 2},
    {"name": "background_scribbles", "id": 3},
    {"name": "foreground_scribbles", "id": 4},
]


@pytest.fixture
def volume() -> CTVolume:
    return CTVolume(np.zeros(SHAPE, dtype=np.int16), np.diag([0.8, 0.8, 2.5, 1.0]), "scan")


@pytest.fixture
def label(tmp_path: Path, volume: CTVolume) -> Path:
    """Spleen at i = 1, nothing in the second segment, a stroke beside at i = 3 and one on the object at i = 4."""
    values = np.zeros(SHAPE, dtype=np.uint8)
    values[1], values[3, 2], values[4, 2] = 1, 3, 4
    path = tmp_path / "strokes.nrrd"
    write_label_map(path, values, volume.affine, {})
    return path


def ask(label: Path, volume: CTVolume, **changed: Any) -> Any:
    request = {"label": str(label), "label_info": INFO, "selected_label_name": "spleen", "roi": [], **changed}
    return scribbled(request, volume)


def test_strokes_and_what_the_segment_holds(label: Path, volume: CTVolume) -> None:
    target = ask(label, volume)
    prompt = target.prompt
    assert (target.value, prompt.name, prompt.text) == (1, "spleen", "spleen")
    assert np.flatnonzero((prompt.scribbles == ON_OBJECT).any(axis=(1, 2))).tolist() == [4]
    assert np.flatnonzero((prompt.scribbles == BESIDE).any(axis=(1, 2))).tolist() == [3]
    assert prompt.mask.sum() == SHAPE[1] * SHAPE[2]
    assert prompt.mask[1].all()


def test_an_empty_segment_without_a_name_is_an_object(label: Path, volume: CTVolume) -> None:
    prompt = ask(label, volume, selected_label_name="Segment_2").prompt
    assert (prompt.name, prompt.text, prompt.mask) == ("Segment_2", None, None)


def test_the_strokes_themselves_may_be_selected(label: Path, volume: CTVolume) -> None:
    prompt = ask(label, volume, selected_label_name="foreground_scribbles").prompt
    assert (prompt.name, prompt.text, prompt.mask) == ("object", None, None)


def test_a_box_comes_along(label: Path, volume: CTVolume) -> None:
    assert ask(label, volume, roi=[5, 3, 1, 4, 0, 7]).prompt.box_ijk == (3, 6, 1, 5, 0, 8)


def test_nothing_drawn_on_the_object(label: Path, volume: CTVolume) -> None:
    with pytest.raises(InvalidPrompt, match="no stroke on the object 'spleen'"):
        ask(label, volume, label_info=[*INFO[:3], {"name": "foreground_scribbles", "id": 9}])


@pytest.mark.parametrize("info", [None, [], "x", [{"name": "spleen", "id": 1}], [{"name": "foreground_scribbles"}]])
def test_nobody_says_which_value_the_strokes_have(label: Path, volume: CTVolume, info: object) -> None:
    with pytest.raises(InvalidRequest, match="which value the strokes have"):
        ask(label, volume, label_info=info)


@pytest.mark.parametrize("path", [None, 7, "", "strokes.nii.gz", "../strokes.nii.gz", "/etc/strokes.nii.gz"])
def test_a_missing_upload_is_refused(volume: CTVolume, path: object) -> None:
    """Nothing, or a file of the server that the request names."""
    with pytest.raises(InvalidRequest, match="No strokes were sent"):
        scribbled({"label_info": INFO, "label": path}, volume)


def test_strokes_on_another_grid_are_refused(label: Path) -> None:
    turned = CTVolume(np.zeros(SHAPE, dtype=np.int16), np.diag([-0.8, 0.8, 2.5, 1.0]), "scan")
    with pytest.raises(GeometryMismatch, match="strokes"):
        ask(label, turned)
