"""Scans that are shortened for training look like short scans that are prepared for serving."""

from __future__ import annotations

import numpy as np
import torch

from medvlsam2.training.data.short_scans import sometimes_shortened, stretched
from medvlsam2.transforms.prepare import whole_volume
from medvlsam2.transforms.window import scale_whole_volume

DEPTH = 8


def test_a_part_of_a_scan_is_the_input_of_a_scan_of_these_slices() -> None:
    hu = torch.from_numpy(np.random.default_rng(0).integers(-1000, 1000, (3, 4, 4)).astype(np.int16))
    served = whole_volume([hu], (DEPTH, 4, 4))[0]
    torch.testing.assert_close(stretched(scale_whole_volume(hu)[None], DEPTH), served)


def test_some_scans_are_shortened_to_neighbouring_slices() -> None:
    whole = torch.arange(DEPTH, dtype=torch.float32)[None, :, None, None].expand(1, DEPTH, 2, 2).clone()
    rng = np.random.default_rng(1)
    spans = []
    for _ in range(400):
        column = sometimes_shortened(whole, rng)[0, :, 0, 0]
        assert column.shape == (DEPTH,)
        assert (column.diff() >= 0).all(), "slices stay in their order"
        spans.append(float(column.max() - column.min()) + 1)
    shortened = np.array(spans) < DEPTH
    assert 0.1 < shortened.mean() < 0.3
    assert {round(span) for span in spans} >= {1, 2, DEPTH}
