"""The mean of the mask by all prompts and the mask by the box alone; both masks agree with the clicks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.features.box_masks import KEPT, BoxMasks
from medvlsam2.tasks.masks import corrected_masks
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

BOX = (10, 40, 12, 42, 4, 12)
CLICK = (25.0, 27.0, 8.0)


class Model:
    """A fake of propagation that records its calls and fills the box on a given number of slices."""

    def __init__(self, *, with_clicks: int, box_alone: int) -> None:
        self.slices = {True: with_clicks, False: box_alone}
        self.asked: list[ObjectQuery] = []

    def __call__(
        self, sam2: Any, sources: Sequence[SliceSource], queries: Sequence[ObjectQuery], **_: object
    ) -> list[ObjectMasks]:
        self.asked += queries
        return [
            self._fill(query, len(source), sam2.mask_size, sam2.image_size)
            for query, source in zip(queries, sources, strict=True)
        ]

    def _fill(self, query: ObjectQuery, depth: int, side: int, image_size: int) -> ObjectMasks:
        assert query.box_xyxy is not None
        x0, y0, x1, y1 = (round((edge + 0.5) * side / image_size) for edge in query.box_xyxy)
        logits = torch.full((depth, side, side), -10.0)
        logits[query.first_slice : query.first_slice + self.slices[query.has_clicks], y0:y1, x0:x1] = 5.0
        return ObjectMasks(logits, torch.ones(depth), torch.ones(depth), ())


def found_slices(engine: Engine, volume: CTVolume, *clicks: tuple[float, float, float]) -> int:
    prompt = ObjectPrompt(box_ijk=BOX, points_ijk=clicks, point_labels=(1,) * len(clicks))
    return int(segment(engine, volume, [prompt]).label_map.any(axis=(0, 1)).sum())


@pytest.fixture
def engine(tiny_model_dir: Any) -> Engine:
    return Engine(tiny_model_dir)


@pytest.mark.parametrize(("with_clicks", "box_alone"), [(1, 8), (8, 1), (6, 3)])
def test_both_masks_count_in_the_mean(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, small_phantom: Phantom, with_clicks: int, box_alone: int
) -> None:
    """Where one finds the object with logit 5 and the other nothing with -10, only the clicked voxel is found."""
    model = Model(with_clicks=with_clicks, box_alone=box_alone)
    monkeypatch.setattr(corrected_masks, "segment_objects", model)
    monkeypatch.setattr(corrected_masks, "heed_clicks", lambda *_, **__: None)
    assert found_slices(engine, small_phantom.volume, CLICK) == min(with_clicks, box_alone) + 1


def test_the_mean_agrees_with_clicks(engine: Engine, small_phantom: Phantom) -> None:
    clicks, labels = (CLICK, (30.0, 30.0, 6.0), (18.0, 20.0, 10.0)), (1, 0, 1)
    prompt = ObjectPrompt(box_ijk=BOX, points_ijk=clicks, point_labels=labels)
    label_map = segment(engine, small_phantom.volume, [prompt]).label_map
    assert [int(label_map[tuple(int(p) for p in click)]) for click in clicks] == list(labels)


def test_the_box_is_propagated_once(monkeypatch: pytest.MonkeyPatch, engine: Engine, small_phantom: Phantom) -> None:
    model = Model(with_clicks=4, box_alone=8)
    monkeypatch.setattr(corrected_masks, "segment_objects", model)
    assert found_slices(engine, small_phantom.volume) == 8
    for clicks in ((CLICK,), (CLICK, (30.0, 30.0, 6.0))):
        found_slices(engine, small_phantom.volume, *clicks)
    assert [query.has_clicks for query in model.asked] == [False, True, True]


def test_clicks_do_not_change_the_cached_mask_of_the_box(engine: Engine, small_phantom: Phantom) -> None:
    prompt = ObjectPrompt(box_ijk=BOX)
    clicked = ObjectPrompt(box_ijk=BOX, points_ijk=(CLICK, (30.0, 30.0, 6.0)), point_labels=(1, 0))
    before = segment(engine, small_phantom.volume, [prompt]).label_map
    first = segment(engine, small_phantom.volume, [clicked]).label_map
    assert (first != before).any(), "or this test shows nothing"
    np.testing.assert_array_equal(segment(engine, small_phantom.volume, [prompt]).label_map, before)
    np.testing.assert_array_equal(segment(engine, small_phantom.volume, [clicked]).label_map, first)


def test_a_scan_remembers_a_few_boxes() -> None:
    masks = ObjectMasks(torch.zeros(1, 2, 2), torch.zeros(1), torch.zeros(1), ())
    kept = BoxMasks()
    for number in range(KEPT + 1):
        kept.put(number, masks)
    assert kept.get(0) is None
    assert kept.get(KEPT) is not None
