"""Clicks and boxes as an annotator might give them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from medvlsam2.training.data import simulated_prompts
from medvlsam2.training.data.simulated_prompts import (
    draw_box,
    draw_clicks,
    draw_pointed,
    draw_prompt_kind,
)


def test_clicks_are_on_their_side_of_the_rim() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[5:9, 20:30] = True
    for seed in range(30):
        points, labels = draw_clicks(mask, np.random.default_rng(seed), 3, 8.0)
        assert labels[0] == 1
        for (x, y), label in zip(points, labels, strict=True):
            column, row = ((x + 0.5) / 8 - 0.5), ((y + 0.5) / 8 - 0.5)
            assert column == round(column)
            assert bool(mask[round(row), round(column)]) == bool(label)
    points, labels = draw_clicks(torch.ones(4, 4, dtype=torch.bool), np.random.default_rng(0), 5, 2.0)
    assert labels == [1] * 5, "where all is object no click can be beside it"


def test_boxes_are_round_the_object() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[4:8, 10:20] = True
    for seed in range(20):
        points, labels = draw_box(mask, np.random.default_rng(seed), 4.0)
        assert labels == [2, 3]
        (x0, y0), (x1, y1) = points
        expected = np.array([10, 4, 20, 8]) * 4 - 0.5
        outwards = (np.array([x0, y0, x1, y1]) - expected) / (np.array([-10, -4, 10, 4]) * 4)
        low, high = simulated_prompts.BOX_GROWTH
        assert (outwards >= low).all()
        assert (outwards <= high).all()


def test_prompts_come_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(draw_prompt_kind(rng) for _ in range(2000))
    for kind, share in simulated_prompts.PROMPT_MIX.items():
        assert abs(counts[kind] / 2000 - share) < 0.04


@pytest.mark.parametrize("kind", ["box", "click"])
def test_what_is_pointed_at_lies_on_its_slice(kind: simulated_prompts.PromptKind) -> None:
    label_map = torch.zeros(3, 32, 32, dtype=torch.long)
    label_map[1, 4:12, 4:12], label_map[2, 20:26, 8:14] = 2, 5
    for seed in range(10):
        pointed = draw_pointed(kind, label_map, np.random.default_rng(seed), 64)
        assert pointed is not None
        assert sorted(pointed.numbers.tolist()) == [2, 5]
        for number, index, points in zip(pointed.numbers, pointed.slice_index, pointed.points_xy, strict=True):
            assert int(index) == {2: 1, 5: 2}[int(number)]
            place = points.mean(dim=0) if kind == "box" else points[0]
            x, y = ((place + 0.5) / 2 - 0.5).round().long().tolist()
            assert int(label_map[index, y, x]) == int(number)
    assert draw_pointed(kind, torch.zeros_like(label_map), np.random.default_rng(0), 64) is None
