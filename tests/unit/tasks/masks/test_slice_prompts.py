"""Scribbles and masks on the model's slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import GeometryMismatch, InvalidPrompt
from medvlsam2.tasks.masks.slice_prompts import (
    MAX_MASK_SLICES,
    MAX_SCRIBBLE_POINTS,
    MAX_SCRIBBLED_SLICES,
    on_slices,
)
from medvlsam2.tasks.prompts import BESIDE, ON_OBJECT, ObjectPrompt
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.label_map import label_map_to_source
from medvlsam2.transforms.spatial import SpatialRecord

SHAPE = (40, 36, 20)
SIDE = 64
MASK_SIDE = 32


@pytest.fixture(params=[np.diag([2.0, 2.0, 3.0, 1.0]), np.diag([-2.0, -2.0, 3.0, 1.0]), np.diag([2.0, 2.0, -3.0, 1.0])])
def record(request: pytest.FixtureRequest) -> SpatialRecord:
    hu = np.full(SHAPE, 40, dtype=np.int16)
    return plan(CTVolume(hu, request.param, "x"), SIDE)


def test_points_of_a_scribble_lie_on_its_strokes(record: SpatialRecord) -> None:
    scribbles = np.zeros(SHAPE, dtype=np.uint8)
    scribbles[10:20, 12, 7] = ON_OBJECT
    scribbles[25, 5:30, 7] = BESIDE
    scribbles[30, 30, 12] = BESIDE
    found = on_slices(record, ObjectPrompt(scribbles=scribbles), MASK_SIDE)
    assert {record.source_slice(d) for d in found.prompts} == {7}
    assert {record.source_slice(d) for d in found.corrections} == {12}
    (d,) = found.prompts
    prompt = found.prompts[d]
    assert sorted(prompt.point_labels) == [0] * MAX_SCRIBBLE_POINTS + [1] * MAX_SCRIBBLE_POINTS
    for (x, y), label in zip(prompt.points_xy, prompt.point_labels, strict=True):
        ijk = record.dhw_to_ijk(np.array([[d, y, x]]))[0].round().astype(int)
        assert scribbles[tuple(ijk)] == (ON_OBJECT if label else BESIDE)
    ends = [record.dhw_to_ijk(np.array([[d, y, x]]))[0][0] for x, y in prompt.points_xy][:MAX_SCRIBBLE_POINTS]
    assert max(ends) - min(ends) == pytest.approx(9, abs=0.1), "both ends of the stroke are used"


def test_long_scribbles_and_masks_are_thinned_out(record: SpatialRecord) -> None:
    scribbles = np.zeros(SHAPE, dtype=np.uint8)
    scribbles[10:20, 12, :] = ON_OBJECT
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:30, 8:30, 1:18] = True
    slices = on_slices(record, ObjectPrompt(scribbles=scribbles), MASK_SIDE).prompts
    assert len(slices) == MAX_SCRIBBLED_SLICES
    assert {min(slices), max(slices)} == {0, SHAPE[2] - 1}
    held = on_slices(record, ObjectPrompt(mask=mask), MASK_SIDE).prompts
    assert len(held) == MAX_MASK_SLICES
    assert all(one.is_settled for one in held.values())


def test_corrected_slices_stay_and_clicked_ones_start_from_the_mask(record: SpatialRecord) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:30, 8:30, 1:18] = True
    prompt = ObjectPrompt(mask=mask, mask_slices=(4, 9), points_ijk=((20.0, 20.0, 9.0),), point_labels=(1,))
    found = {record.source_slice(d): one for d, one in on_slices(record, prompt, MASK_SIDE).prompts.items()}
    assert set(found) == {4, 9}
    assert found[4].is_settled
    assert not found[9].is_settled
    assert found[9].mask is not None
    share = float(found[4].mask.float().mean())
    area = record.pixel_mm[0] * record.pixel_mm[1] * SIDE**2
    assert share == pytest.approx(22 * 22 * 4 / area, rel=0.1)


def test_a_mask_lies_where_it_was_drawn(record: SpatialRecord) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[30:38, 2:10, 5] = True
    ((d, one),) = on_slices(record, ObjectPrompt(mask=mask), MASK_SIDE).prompts.items()
    logits = torch.full((SHAPE[2], MASK_SIDE, MASK_SIDE), -10.0)
    logits[d][one.mask] = 10.0
    back = label_map_to_source([(logits, record)], np.zeros(SHAPE, dtype=np.int16)) > 0
    common = (back & mask).sum()
    assert 2 * common / (back.sum() + mask.sum()) > 0.85


def test_what_does_not_fit_is_refused(record: SpatialRecord) -> None:
    small = np.ones((3, 3, 3), dtype=np.uint8)
    with pytest.raises(GeometryMismatch, match="not on the scan's grid"):
        on_slices(record, ObjectPrompt(scribbles=small), MASK_SIDE)
    with pytest.raises(GeometryMismatch, match="not on the scan's grid"):
        on_slices(record, ObjectPrompt(mask=small > 0), MASK_SIDE)
    with pytest.raises(InvalidPrompt, match="Slice 20 of the mask"):
        on_slices(record, ObjectPrompt(mask=np.ones(SHAPE, dtype=bool), mask_slices=(20,)), MASK_SIDE)
    with pytest.raises(InvalidPrompt, match="no stroke on the object"):
        ObjectPrompt(scribbles=np.full(SHAPE, BESIDE, dtype=np.uint8))
    with pytest.raises(InvalidPrompt, match="The prompt is empty"):
        ObjectPrompt(mask=np.zeros(SHAPE, dtype=bool))
