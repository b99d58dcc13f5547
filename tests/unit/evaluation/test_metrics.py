"""Surface measures by hand, and the block round a mask."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.evaluation.metrics import bounding_slices, surface_dice

SPACING_MM = (1.0, 1.0, 3.0)


def cube(start=(4, 4, 4), size=(6, 6, 6), shape=(20, 20, 20)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = True
    return mask


def test_empty_masks():
    empty = np.zeros((20, 20, 20), dtype=bool)
    assert surface_dice(empty, empty, SPACING_MM) == 1.0
    assert surface_dice(empty, cube(), SPACING_MM) == surface_dice(cube(), empty, SPACING_MM) == 0.0


def test_surface_dice_knows_millimetres_along_each_axis():
    assert surface_dice(cube(), cube(), SPACING_MM) == 1.0
    assert surface_dice(cube(), cube(start=(6, 4, 4)), SPACING_MM) == pytest.approx(1.0)
    one_slice_off = surface_dice(cube(), cube(start=(4, 4, 5)), SPACING_MM)
    assert 0.5 < one_slice_off < 0.9
    assert surface_dice(cube(), cube(start=(4, 4, 5)), SPACING_MM, tolerance_mm=3.1) == pytest.approx(1.0)


def test_surface_dice_is_the_same_at_the_scans_edge():
    inside = surface_dice(cube(size=(3, 6, 6)), cube(start=(7, 4, 4)), SPACING_MM)
    at_edge = surface_dice(cube(start=(0, 4, 4), size=(3, 6, 6)), cube(start=(3, 4, 4)), SPACING_MM)
    assert at_edge == pytest.approx(inside)


def test_surface_dice_ignores_where_in_the_scan_the_masks_are():
    moved = surface_dice(cube(start=(8, 9, 2)), cube(start=(11, 9, 2)), SPACING_MM)
    assert moved == pytest.approx(surface_dice(cube(), cube(start=(7, 4, 4)), SPACING_MM))


def test_bounding_slices_hold_all_voxels():
    mask = cube() | cube(start=(15, 2, 9), size=(1, 1, 1))
    assert mask[bounding_slices(mask)].sum() == mask.sum()
    assert bounding_slices(mask) == (slice(4, 16), slice(2, 10), slice(4, 10))
