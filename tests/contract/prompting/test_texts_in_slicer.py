"""A report in Slicer's views: whole, a sentence at a place of its own."""

from __future__ import annotations

import json

import numpy as np

from label_tasks.replies import text_file
from medvlsam2.data.volume import CTVolume

SENTENCES = ("The liver is normal.", f"The spleen {'is not enlarged and ' * 12}is normal.", "No ascites.")


def test_every_sentence_is_whole_and_none_covers_another() -> None:
    """120 characters were shown, and all answers stood at one point."""
    affine = np.array([[-2.0, 0, 0, 90], [0, 0, 2.0, -50], [0, -3.0, 0, 200], [0, 0, 0, 1]])
    volume = CTVolume(np.zeros((40, 50, 30), dtype=np.int16), affine, "turned")
    path = text_file(" ".join(SENTENCES), "Draft report", volume)
    (markups,) = json.loads(path.read_text(encoding="utf-8"))["markups"]
    path.unlink()
    points = markups["controlPoints"]
    assert tuple(point["label"] for point in points) == SENTENCES
    assert all(point["description"] == " ".join(SENTENCES) for point in points)
    heights_mm = [point["position"][2] for point in points]
    assert heights_mm == sorted(heights_mm, reverse=True), "read from the head to the feet"
    assert min(np.diff(heights_mm[::-1])) > 40
    assert len({tuple(point["position"][:2]) for point in points}) == 1
    ends_mm = sorted([200.0, 200.0 - 3.0 * 49])
    assert all(ends_mm[0] < height < ends_mm[1] for height in heights_mm)
