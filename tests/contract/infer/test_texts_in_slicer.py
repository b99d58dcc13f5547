"""A report in Slicer's views: whole, a sentence at a place of its own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from label_tasks.infer.replies import text_file
from label_tasks.infer.text import with_warnings
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.converse import Answer
from medvlsam2.tasks.questions.replying.unanswered import GUESSED

SENTENCES = ("The liver is normal.", f"The spleen {'is not enlarged and ' * 12}is normal.", "No ascites.")


def points_of(text: str, volume: CTVolume, places_ras: dict[str, tuple[float, float, float]]) -> list[dict[str, Any]]:
    path = text_file(text, "Draft report", volume, places_ras)
    (markups,) = json.loads(path.read_text(encoding="utf-8"))["markups"]
    path.unlink()
    assert (markups["type"], markups["coordinateSystem"], markups["locked"]) == ("Fiducial", "LPS", True)
    return list(markups["controlPoints"])


def test_every_sentence_is_whole_and_none_covers_another() -> None:
    """120 characters were shown, and all answers stood at one point."""
    affine = np.array([[-2.0, 0, 0, 90], [0, 0, 2.0, -50], [0, -3.0, 0, 200], [0, 0, 0, 1]])
    volume = CTVolume(np.zeros((40, 50, 30), dtype=np.int16), affine, "turned")
    points = points_of(" ".join(SENTENCES), volume, {})
    assert tuple(point["label"] for point in points) == SENTENCES
    assert all(point["description"] == " ".join(SENTENCES) for point in points)
    heights_mm = [point["position"][2] for point in points]
    assert heights_mm == sorted(heights_mm, reverse=True), "read from the head to the feet"
    assert min(np.diff(heights_mm[::-1])) > 40
    assert len({tuple(point["position"][:2]) for point in points}) == 1
    ends_mm = sorted([200.0, 200.0 - 3.0 * 49])
    assert all(ends_mm[0] < height < ends_mm[1] for height in heights_mm)


def test_each_sentence_stands_at_its_own_place() -> None:
    """All sentences stood on one line, whatever they spoke of."""
    volume = CTVolume(np.zeros((40, 50, 30), dtype=np.int16), np.diag([-2.0, -2.0, 3.0, 1.0]), "straight")
    more = "The liver contains a 12 mm cyst."
    liver_ras, spleen_ras = (-20.0, -30.0, 45.0), (-60.5, -70.0, 50.0)
    places_ras = {SENTENCES[0]: liver_ras, SENTENCES[1]: spleen_ras, more: liver_ras}
    points = points_of(" ".join((*SENTENCES, more)), volume, places_ras)
    place_lps = {point["label"]: point["position"] for point in points}
    assert place_lps[SENTENCES[0]] == [20.0, 30.0, 45.0]
    assert place_lps[SENTENCES[1]] == [60.5, 70.0, 50.0]
    assert place_lps[more][:2] == [20.0, 30.0]
    assert abs(place_lps[more][2] - 45.0) == 10.0
    assert place_lps[SENTENCES[2]] == pytest.approx([39.0, 49.0, 87.0 * (1 - 2.5 / 4)], abs=1e-3)


@pytest.mark.parametrize("grounded", [True, False])
def test_a_guess_is_shown_with_its_warning(grounded: bool) -> None:
    """Slicer shows the text alone, and no warning of the JSON beside it."""
    guess = Answer(
        text="black",
        choice_index=None,
        warnings=("odd header", GUESSED),
        latencies_s={},
        grounded=grounded,
        unproved=() if grounded else (GUESSED,),
    )
    shown = with_warnings("What colour? black", guess)
    assert shown == ("What colour? black" if grounded else f"What colour? black {GUESSED}")
