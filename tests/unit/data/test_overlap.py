"""Overlap of masks by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.overlap import dice, iou

EMPTY = np.zeros((5, 4), dtype=bool)


def rows(start: int, stop: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[start:stop] = True
    return mask


def test_overlap_by_hand() -> None:
    assert dice(rows(0, 2), rows(1, 3)) == pytest.approx(2 * 4 / (8 + 8))
    assert iou(rows(0, 2), rows(1, 3)) == pytest.approx(4 / 12)
    assert dice(rows(0, 1), rows(0, 3)) == dice(rows(0, 3), rows(0, 1)) == pytest.approx(2 * 4 / (4 + 12))


def test_empty_masks_are_equal_and_have_nothing_in_common_with_others() -> None:
    assert dice(EMPTY, EMPTY) == iou(EMPTY, EMPTY) == 1.0
    assert dice(EMPTY, rows(0, 2)) == iou(rows(0, 2), EMPTY) == 0.0
