"""A small object is searched again in a closer view at its place; a large object is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2.data.phantom import Phantom
from medvlsam2.model.propagation.object_query import (
    EMPTY_LOGIT,
    ObjectMasks,
    ObjectQuery,
    SlicePrompt,
)
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.masks import parts, search
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.spatial import SpatialRecord

SIDE = 96
SMALL_PX = parts.SMALL_PX - 1e-6
"""Its end less its start is no more than is small, however they are rounded."""


def whole(crop_hw: tuple[int, int, int, int] = (-3, 117, 5, 105)) -> SpatialRecord:
    return SpatialRecord((110, 120, 9), np.eye(4), (2, 1, 0), (False, True, True), crop_hw, 2 * SIDE)


@given(
    st.tuples(st.floats(0, SIDE - 1), st.floats(0.5, SMALL_PX)),
    st.tuples(st.floats(0, SIDE - 1), st.floats(0.5, SMALL_PX)),
    st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_small_object_lies_well_inside_of_its_part(
    rows: tuple[float, float], columns: tuple[float, float], clicked: tuple[float, float] | None
) -> None:
    record = whole()
    edges = tuple((start, min(start + size, float(SIDE))) for start, size in (rows, columns))
    crop = parts.part_round(record, ((0.0, 1.0), *edges), SIDE, clicked)
    assert crop is not None
    for (start, end), (low, high), (first, last) in zip(
        edges, (crop[:2], crop[2:]), (record.crop_hw[:2], record.crop_hw[2:]), strict=True
    ):
        voxels_per_px = (last - first) / SIDE
        assert high - low == round(parts.PART * (last - first))
        margin = 8 * voxels_per_px
        assert low <= first + start * voxels_per_px - margin or low == first
        assert high >= first + end * voxels_per_px + margin or high >= last - 1


def test_corrections_near_the_first_click_stay_in_its_part() -> None:
    """What is found may move with every click; the features of the part are made once."""
    found = [((0.0, 9.0), (46.0 + n, 60.0 + n), (50.0 - n, 58.0)) for n in range(9)]
    chosen = {parts.part_round(whole(), edges, SIDE, (0.5, 0.5)) for edges in found}
    assert len(chosen) == 1
    assert len({parts.part_round(whole(), edges, SIDE) for edges in found}) > 1


def test_the_middle_of_clicks_on_an_object() -> None:
    prompts = {3: SlicePrompt(((9.5, 19.5), (0.0, 0.0)), (1, 0)), 5: SlicePrompt(((29.5, 39.5), (1.0, 2.0)), (1, 2))}
    assert parts.clicked_middle_hw(ObjectQuery(prompts=prompts), 100) == pytest.approx((0.30, 0.20))
    assert parts.clicked_middle_hw(ObjectQuery(prompts={3: SlicePrompt(((9.5, 19.5),), (2,))}), 100) is None


def test_a_large_or_absent_object_has_no_closer_view() -> None:
    too_long = 10.0 + parts.SMALL_PX + 1
    assert parts.part_round(whole(), ((0.0, 1.0), (20.0, 22.0), (10.0, too_long)), SIDE) is None
    assert parts.part_round(whole(), ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)), SIDE) is None


class Eyes:
    """A fake model that finds a block of voxels in any view, with the sharpness of the view's grid."""

    def __init__(self, low: Sequence[int], high: Sequence[int]) -> None:
        self.low, self.high = np.array(low), np.array(high)
        self.calls = 0
        self.views: list[SpatialRecord] = []
        self.queries: list[ObjectQuery] = []
        self.blind: set[tuple[int, int, int, int]] = set()

    def __call__(
        self, views: Sequence[View], window: str, queries: Sequence[ObjectQuery], **_: Any
    ) -> list[ObjectMasks]:
        self.calls += 1
        self.views += [view.record for view in views]
        self.queries += queries
        return [self._see(view.record, view.sam2.mask_size) for view in views]

    def _see(self, record: SpatialRecord, side: int) -> ObjectMasks:
        scale = record.side / side
        d, h, w = np.meshgrid(np.arange(record.num_slices), np.arange(side), np.arange(side), indexing="ij")
        places = np.stack([d, (h + 0.5) * scale - 0.5, (w + 0.5) * scale - 0.5], axis=-1).reshape(-1, 3)
        voxels = record.dhw_to_ijk(places)
        inside = ((voxels >= self.low - 0.5) & (voxels < self.high - 0.5)).all(axis=1).reshape(d.shape)
        inside &= record.crop_hw not in self.blind
        logits = torch.where(torch.from_numpy(inside), 4.0, EMPTY_LOGIT)
        depth = record.num_slices
        return ObjectMasks(logits, torch.ones(depth), torch.ones(depth), ())


SMALL = ((20, 24, 5), (29, 32, 12))
"""A block of the phantom, 9 × 8 voxels in plane."""


@pytest.fixture
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Eyes:
    seen = Eyes(*SMALL)
    monkeypatch.setattr(search, "find_masks", seen)
    monkeypatch.setattr(search, "heed_clicks", lambda *_, **__: None)
    return seen


def dice(found: np.ndarray, low: Sequence[int], high: Sequence[int]) -> float:
    truth = np.zeros(found.shape, dtype=bool)
    truth[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def whole_crop(engine: Engine, phantom: Phantom) -> tuple[int, int, int, int]:
    return plan(phantom.volume, engine.loaded().config.sam2.image_size).crop_hw


def test_a_small_named_object_is_segmented_better_and_in_place(
    engine: Engine, small_phantom: Phantom, eyes: Eyes
) -> None:
    found = segment(engine, small_phantom.volume, [ObjectPrompt("aorta")]).label_map == 1
    first, second = eyes.views
    assert first.crop_hw == whole_crop(engine, small_phantom)
    assert second.pixel_mm[0] == pytest.approx(parts.PART * first.pixel_mm[0], rel=0.05)
    eyes.blind.add(second.crop_hw)
    coarse = segment(engine, small_phantom.volume, [ObjectPrompt("aorta")]).label_map == 1
    assert dice(found, *SMALL) > dice(coarse, *SMALL) > 0.6, "a blind second look leaves the first one's mask"


def test_the_second_view_keeps_to_the_slices_of_the_first(engine: Engine, small_phantom: Phantom, eyes: Eyes) -> None:
    segment(engine, small_phantom.volume, [ObjectPrompt("aorta")])
    assert (eyes.queries[1].first_slice, eyes.queries[1].last_slice) == (5, 11)


def test_the_second_view_at_what_was_clicked_goes_a_little_further(
    engine: Engine, small_phantom: Phantom, eyes: Eyes
) -> None:
    i, j, k = (24.0, 27.0, 8.0)
    last = small_phantom.volume.shape_ijk[2] - 1
    further = search.FURTHER_SLICES
    for slices, expected in (((k,), (5 - further, 11 + further)), ((k, 0.0), (0, 11 + further)), ((last,), (2, last))):
        eyes.queries.clear()
        clicks = tuple((i, j, float(number)) for number in slices)
        segment(engine, small_phantom.volume, [ObjectPrompt(points_ijk=clicks, point_labels=(1,) * len(clicks))])
        near = eyes.queries[1]
        assert (near.first_slice, near.last_slice) == expected


def test_views_that_disagree_keep_the_first_mask(
    engine: Engine, small_phantom: Phantom, eyes: Eyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, whole_view = eyes._see, whole_crop(engine, small_phantom)

    def elsewhere(record: SpatialRecord, side: int) -> ObjectMasks:
        found = look(record, side)
        return found if record.crop_hw == whole_view else replace(found, mask_logits=found.mask_logits.flip(2))

    eyes.low, eyes.high = np.array((12, 24, 5)), np.array((18, 30, 12))
    monkeypatch.setattr(eyes, "_see", elsewhere)
    found = segment(engine, small_phantom.volume, [ObjectPrompt("aorta")]).label_map == 1
    assert len(eyes.views) == 2
    assert dice(found, eyes.low, eyes.high) > 0.5


def test_large_objects_are_segmented_in_one_view(engine: Engine, small_phantom: Phantom, eyes: Eyes) -> None:
    eyes.high = np.array([60, 60, 12])
    segment(engine, small_phantom.volume, [ObjectPrompt("aorta")])
    assert len(eyes.views) == 1


def test_a_small_box_is_looked_at_from_nearer_alone(engine: Engine, small_phantom: Phantom, eyes: Eyes) -> None:
    (i0, j0, k0), (i1, j1, k1) = SMALL
    box = ObjectPrompt(box_ijk=(i0, i1, j0, j1, k0, k1), points_ijk=((24.0, 27.0, 8.0),), point_labels=(1,))
    found = segment(engine, small_phantom.volume, [box]).label_map == 1
    near = [record for record, query in zip(eyes.views, eyes.queries, strict=True) if query.box_xyxy is not None]
    assert len(near) == 1
    assert near[0].crop_hw != whole_crop(engine, small_phantom)
    assert dice(found, *SMALL) > 0.6
    x0, y0, x1, y1 = next(query.box_xyxy for query in eyes.queries if query.box_xyxy is not None)
    corners = near[0].dhw_to_ijk(np.array([[5.0, y0, x0], [11.0, y1, x1]]))
    np.testing.assert_allclose(np.sort(corners[:, :2], axis=0), [[i0 - 0.5, j0 - 0.5], [i1 - 0.5, j1 - 0.5]], atol=1e-6)


def test_small_objects_in_two_parts_are_looked_at_together(engine: Engine, small_phantom: Phantom, eyes: Eyes) -> None:
    (i0, j0, k0), (i1, j1, k1) = SMALL
    here = ObjectPrompt(box_ijk=(i0, i1, j0, j1, k0, k1))
    i, j, _ = small_phantom.volume.shape_ijk
    elsewhere = ObjectPrompt(box_ijk=(i - 9, i - 2, j - 9, j - 2, k0, k1))
    found = segment(engine, small_phantom.volume, [elsewhere, here]).label_map
    assert eyes.calls == 1
    assert len({view.crop_hw for view in eyes.views}) == 2
    assert dice(found == 2, *SMALL) > dice(found == 1, *SMALL)


def test_clicks_beyond_the_part(engine: Engine, small_phantom: Phantom, eyes: Eyes) -> None:
    """Beside the object they say nothing there; on the object they say that it is not small."""
    record = plan(small_phantom.volume, engine.loaded().config.sam2.image_size)
    far = tuple(float(size - 1) for size in small_phantom.volume.shape_ijk[:2])
    clicks = ((24.0, 27.0, 8.0), (*far, 8.0), (*far, 6.0))
    for labels, count in (((1, 0, 0), 2), ((1, 1, 0), 1)):
        eyes.views.clear()
        eyes.queries.clear()
        segment(engine, small_phantom.volume, [ObjectPrompt(points_ijk=clicks, point_labels=labels)])
        assert [view.crop_hw == record.crop_hw for view in eyes.views] == [True, False][:count]
    eyes.queries.clear()
    segment(engine, small_phantom.volume, [ObjectPrompt(points_ijk=clicks, point_labels=(1, 0, 0))])
    assert [one.point_labels for one in eyes.queries[1].prompts.values()] == [(1,)]
    assert not eyes.queries[1].corrections


def test_coronal_slices_are_fused_in_their_place(tiny_model_dir: Path, small_phantom: Phantom, eyes: Eyes) -> None:
    engine = Engine(tiny_model_dir, uses_coronal_views=True)
    found = segment(engine, small_phantom.volume, [ObjectPrompt("aorta")]).label_map == 1
    axial, near, coronal = eyes.views
    assert axial.axes == near.axes != coronal.axes
    assert dice(found, *SMALL) > 0.6
    look = eyes._see

    def shorter_across(record: SpatialRecord, side: int) -> ObjectMasks:
        eyes.high = np.array((29, 32, 9 if record.axes == coronal.axes else 12))
        return look(record, side)

    eyes._see = shorter_across  # type: ignore[method-assign]
    shorter = segment(engine, small_phantom.volume, [ObjectPrompt("aorta")]).label_map == 1
    held = set(np.flatnonzero(shorter.any(axis=(0, 1))))
    assert {5, 6, 7} <= held <= {5, 6, 7, 8}, "what one look alone sees faintly is not there"


def test_an_edited_mask_gets_no_coronal_view(tiny_model_dir: Path, small_phantom: Phantom, eyes: Eyes) -> None:
    mask = np.zeros(small_phantom.volume.shape_ijk, dtype=bool)
    mask[20:29, 24:32, 5:12] = True
    engine = Engine(tiny_model_dir, uses_coronal_views=True)
    segment(engine, small_phantom.volume, [ObjectPrompt(mask=mask, mask_slices=(8,))])
    assert len({view.axes for view in eyes.views}) == 1
