"""Which slices steps draw."""

from __future__ import annotations

import numpy as np

from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.samples import draw_slices


def test_clips_are_neighbouring_slices(tiny_case: Case) -> None:
    depth = tiny_case.num_slices
    masks = np.zeros((1, depth, 4, 4), dtype=bool)
    masks[:, depth // 2] = True
    steps = set()
    for seed in range(40):
        numbers = draw_slices(masks, np.random.default_rng(seed), 4, contiguous=True)
        assert numbers[0] == depth // 2
        steps |= set(np.diff(numbers).tolist())
        assert len(set(np.diff(numbers).tolist())) == 1
    assert steps == {-2, -1, 1, 2}
