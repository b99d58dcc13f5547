"""Masks agree with clicks; a correction spreads over similar tissue and changes nothing else."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery, SlicePrompt
from medvlsam2.tasks.masks.click_correction import FARTHEST, MIN_REACH_MM, heed_clicks
from medvlsam2.transforms.spatial import SpatialRecord

SLICES, SIDE, IMAGE = 24, 32, 64
RECORD = SpatialRecord(
    source_shape_ijk=(IMAGE, IMAGE, SLICES),
    source_affine=np.diag([1.0, 1.0, 2.0, 1.0]),
    axes=(2, 1, 0),
    flips=(False, False, False),
    crop_hw=(0, IMAGE, 0, IMAGE),
    side=IMAGE,
)


def two_halves() -> SliceFeatures:
    """Everything left of the middle looks alike, and so does everything right of it."""

    def level(side: int) -> Tensor:
        features = torch.zeros(SLICES, 2, side, side)
        features[:, 0, :, : side // 2] = 1
        features[:, 1, :, side // 2 :] = 1
        return features

    return SliceFeatures(embedding=level(8), high_res_1=level(16), high_res_0=level(32))


def masks(logit: float = -4.0) -> ObjectMasks:
    return ObjectMasks(torch.full((SLICES, SIDE, SIDE), logit), torch.zeros(SLICES), torch.zeros(SLICES), ())


def query(*clicks: tuple[int, float, float, int]) -> ObjectQuery:
    """Clicks as slice, x, y, label."""
    prompts: dict[int, SlicePrompt] = {}
    for d, x, y, label in clicks:
        before = prompts.get(d, SlicePrompt((), ()))
        prompts[d] = SlicePrompt((*before.points_xy, (float(x), float(y))), (*before.point_labels, label))
    on_object = {d: prompt for d, prompt in prompts.items() if 1 in prompt.point_labels}
    return ObjectQuery(prompts=on_object, corrections={d: p for d, p in prompts.items() if d not in on_object})


def corrected(found: ObjectMasks, *clicks: tuple[int, float, float, int]) -> Tensor:
    heed_clicks(found, two_halves(), query(*clicks), RECORD)
    return found.mask_logits


def pixel(position: float) -> int:
    return round((position + 0.5) / 2 - 0.5)


def test_clicks_that_the_mask_agrees_with_change_nothing() -> None:
    found = masks(4.0)
    before = found.mask_logits
    assert corrected(found, (5, 20.5, 30.5, 1)) is before
    assert corrected(found) is before


def test_half_precision_of_the_lease_changes_nothing() -> None:
    """The covariance of two clicks on similar tissue needs more digits than bfloat16 has."""
    torch.manual_seed(0)
    features = SliceFeatures(*(torch.rand(SLICES, 8, side, side) for side in (8, 32, 16)))
    clicks = query((5, 20.5, 30.5, 1), (5, 22.5, 30.5, 0), (6, 21.5, 29.5, 1))
    found = []
    for lease in (nullcontext, lambda: torch.autocast("cpu", dtype=torch.bfloat16)):
        found.append(masks())
        heed_clicks(found[-1], features, clicks, RECORD, lease=lease)
    assert (found[0].mask_logits > -4.0).any()
    assert torch.equal(found[0].mask_logits, found[1].mask_logits)


def test_a_positive_click_adds_and_a_negative_click_removes_a_region() -> None:
    assert corrected(masks(-4.0), (5, 20.5, 30.5, 1))[5, pixel(30.5), pixel(20.5)] > 0
    assert corrected(masks(4.0), (5, 20.5, 30.5, 0))[5, pixel(30.5), pixel(20.5)] < 0


def test_a_click_between_pixels_is_read_as_the_scan_shows_it() -> None:
    """The nearest mask pixel says yes, the way back to the scan interpolates and says no."""

    def at_the_click(logits: Tensor) -> float:
        return float(0.6 * logits[5, 15, 10] + 0.4 * logits[5, 15, 11])

    found = masks(-4.0)
    found.mask_logits[5, 15, 10] = 2.0
    assert at_the_click(found.mask_logits) < 0
    assert at_the_click(corrected(found, (5, 21.3, 30.5, 1))) > 0


def test_a_correction_stops_at_tissue_that_looks_different() -> None:
    row = corrected(masks(-1.0), (5, 28.5, 30.5, 1))[5, pixel(30.5)]
    click = pixel(28.5)
    assert row[click - 3] > 0
    assert row[click + 3] < 0, "3 pixels away as well, but beyond the middle"


def test_slices_out_of_reach_do_not_change() -> None:
    found = corrected(masks(-4.0), (5, 20.5, 30.5, 1))
    farthest = int(FARTHEST * MIN_REACH_MM / RECORD.slice_spacing_mm)
    untouched = corrected(masks(-4.0), (0, 20.5, 30.5, 1))[-1]
    assert found[6].max() > untouched.max()
    assert torch.equal(found[5 + farthest + 1 :], untouched.expand(SLICES - 6 - farthest, -1, -1))


CLICKS = st.lists(
    st.tuples(st.integers(0, SLICES - 1), st.integers(4, 59), st.integers(4, 59), st.integers(0, 1)),
    min_size=1,
    max_size=6,
    unique_by=lambda click: (click[0], click[1] // 8, click[2] // 8),
)


@settings(max_examples=25, deadline=None)
@given(CLICKS, st.randoms())
def test_the_order_of_clicks_changes_nothing(clicks: list[tuple[int, int, int, int]], random: object) -> None:
    shuffled = list(clicks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert torch.equal(corrected(masks(-0.5), *clicks), corrected(masks(-0.5), *shuffled))


@settings(max_examples=25, deadline=None)
@given(CLICKS)
def test_the_mask_agrees_with_every_click(clicks: list[tuple[int, int, int, int]]) -> None:
    found = corrected(masks(-0.5), *clicks)
    for d, x, y, label in clicks:
        assert (found[d, pixel(y), pixel(x)] > 0) == bool(label)
