"""Boxes and points at the border of a scan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2 import voxel_box

SHAPE = (6, 5, 4)
edges = st.integers(-4, 10)


@given(st.tuples(edges, edges, edges, edges, edges, edges))
def test_what_remains_of_a_box_are_its_voxels_in_the_scan(box):
    low, high = np.array(box[0::2]), np.array(box[1::2])
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    expected = ((index >= low) & (index < high)).all(axis=-1)
    found = np.zeros(SHAPE, dtype=bool)
    found[voxel_box.slices(box, SHAPE)] = True
    np.testing.assert_array_equal(found, expected)
    assert voxel_box.is_empty(voxel_box.clipped(box, SHAPE)) == (not expected.any())
    held = [tuple(voxel) for voxel in index.reshape(-1, 3).tolist() if voxel_box.holds(box, tuple(voxel))]
    assert held == [tuple(voxel) for voxel in np.argwhere(expected).tolist()]


@pytest.mark.parametrize(
    ("point", "is_in", "voxel"),
    [
        ((0.0, 0.0, 0.0), True, (0, 0, 0)),
        ((-0.5, 4.5, 3.5), True, (0, 4, 3)),
        ((5.4, 1.6, 2.4), True, (5, 2, 2)),
        ((-0.51, 1.0, 1.0), False, (0, 1, 1)),
        ((1.0, 1.0, 3.51), False, (1, 1, 3)),
        ((float("inf"), 1.0, 1.0), False, (5, 1, 1)),
    ],
)
def test_a_point_on_the_outer_face_is_in_the_scan(point, is_in, voxel):
    assert voxel_box.is_in_scan(point, SHAPE) == is_in
    assert voxel_box.voxel_of(point, SHAPE) == voxel
