"""A click is brought onto the slices of the whole view once, however often its object is searched for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.transforms.spatial import SpatialRecord


@pytest.mark.parametrize("coronal", [False, True])
def test_a_click_is_placed_once(
    tiny_model_dir: Path, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch, coronal: bool
) -> None:
    engine, volume = Engine(tiny_model_dir, uses_coronal_views=coronal), small_phantom.volume
    whole = engine.session(volume).whole.record
    placed: Counter[tuple[float, ...]] = Counter()
    on_grid = SpatialRecord.click_to_grid

    def count(record: SpatialRecord, point_ijk: tuple[float, float, float], name: str) -> tuple[int, float, float]:
        if record is whole:
            placed[point_ijk] += 1
        return on_grid(record, point_ijk, name)

    monkeypatch.setattr(SpatialRecord, "click_to_grid", count)
    clicks = ((32.0, 28.0, 18.0), (36.0, 28.0, 18.0), (2.0, 2.0, 18.0))
    segment(engine, volume, [ObjectPrompt(points_ijk=clicks, point_labels=(1, 1, 0))])
    assert placed == dict.fromkeys(clicks, 1)


def test_words_may_change_and_the_place_stays(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    from medvlsam2.tasks.masks.slice_prompts import place

    whole = Engine(tiny_model_dir).session(small_phantom.volume).whole
    placed = place(whole, ObjectPrompt("liver", box_ijk=(10, 30, 8, 25, 4, 10)))
    alone = placed.with_text(None)
    assert (alone.prompt.text, alone.prompt.box_ijk) == (None, (10, 30, 8, 25, 4, 10))
    assert alone.in_view(whole) == place(whole, ObjectPrompt(box_ijk=(10, 30, 8, 25, 4, 10))).grid
