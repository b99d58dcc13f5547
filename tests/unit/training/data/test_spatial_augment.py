"""Views of slices and masks in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2.training.data.spatial_augment import (
    NEAR_ZOOM_RANGE,
    Move,
    draw_move,
    draw_near_move,
    window_part,
)

SIDE = 96
seeds = st.integers(0, 2**32 - 1)


def blob(row: int, column: int, side: int = SIDE) -> torch.Tensor:
    mask = torch.zeros(2, 3, side, side, dtype=torch.bool)
    mask[0, 1, row - 4 : row + 5, column - 6 : column + 7] = True
    return mask


@given(seeds, st.integers(10, SIDE - 11), st.integers(10, SIDE - 11))
def test_a_nearer_view_holds_what_it_is_drawn_for_and_stays_on_the_slice(seed: int, row: int, column: int) -> None:
    masks = blob(row, column)
    move = draw_near_move(masks, np.random.default_rng(seed), part=window_part(2 * SIDE))
    assert NEAR_ZOOM_RANGE[0] <= move.zoom <= NEAR_ZOOM_RANGE[1]
    assert max(map(abs, move.centre_xy)) + move.part / move.zoom <= 1 + 1e-6
    seen = move.masks(masks)
    assert seen.shape == (2, 3, SIDE * 2 // 3, SIDE * 2 // 3)
    assert seen[0, 1].any()
    assert not seen[1].any()


@given(seeds)
def test_image_and_masks_show_the_same_view(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = blob(40, 60)
    painted = masks[0].repeat_interleave(2, 1).repeat_interleave(2, 2).float()[:, None]
    for move in (draw_move(rng), draw_near_move(masks, rng, part=window_part(2 * SIDE))):
        bright = torch.nn.functional.avg_pool2d(move.image(painted), 2)[1, 0] > 0.5
        mask = move.masks(masks)[0, 1]
        assert 2 * (bright & mask).sum() / (bright.sum() + mask.sum()) > 0.85


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_things_look_larger_by_the_zoom(zoom: float) -> None:
    masks = blob(48, 48)
    area = int(Move(0.0, zoom, (0.0, 0.0), 2 / 3).masks(masks).sum())
    assert area == pytest.approx(zoom**2 * int(masks.sum()), rel=0.1)


@given(seeds)
def test_a_view_is_never_mirrored(seed: int) -> None:
    """What lies to the left stays to the left of what lies to the right."""
    masks = torch.cat([blob(46, 40), blob(50, 56)])[[0, 2]]
    rng = np.random.default_rng(seed)
    for move in (draw_move(rng), draw_near_move(masks, rng)):
        columns = [torch.nonzero(seen)[:, 2].float() for seen in move.masks(masks)]
        if all(len(column) for column in columns):
            assert columns[0].mean() < columns[1].mean()


def test_about_the_middle_where_nothing_is_shown() -> None:
    move = draw_near_move(torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool), np.random.default_rng(0))
    assert move.centre_xy == (0.0, 0.0)


@pytest.mark.parametrize("side", [96, 128, 192, 256])
def test_a_window_can_be_halved_four_times(side: int) -> None:
    assert side * window_part(side) % 16 == 0
