"""Each voxel of a label lands on its scan's voxel, however the file orders, flips, rounds or crops the label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.labels.placing import on_scan_grid
from medvlsam2.errors import GeometryMismatch

WHAT = "The label"
shapes = st.tuples(*[st.integers(3, 9)] * 3)
permutations = st.permutations([0, 1, 2])
flips = st.tuples(*[st.booleans()] * 3)


@st.composite
def scans(draw: st.DrawFn) -> tuple[tuple[int, int, int], np.ndarray]:
    """Draw a shape, and an affine of any axis order, rotation and voxel size."""
    turn = np.eye(3)
    for axis in range(3):
        angle = draw(st.floats(-0.7, 0.7))
        plane = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        plane[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
        )  # fmt: skip
        turn = plane @ turn
    affine = np.eye(4)
    signs = np.diag(draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)))
    order = np.eye(3)[draw(permutations)]
    affine[:3, :3] = turn @ order @ signs @ np.diag(draw(st.tuples(*[st.floats(0.3, 6)] * 3)))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-1500, 1500)] * 3))
    return draw(shapes), affine


def painted(shape: tuple[int, int, int]) -> np.ndarray:
    """Return an array in which every voxel has its own value."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.uint16).reshape(shape)


def in_another_order(
    values: np.ndarray, affine: np.ndarray, order: list[int], turned: tuple[bool, bool, bool]
) -> LabelMap:
    """Return the same voxels with the axes in another order and some axes reversed."""
    affine = affine.copy()
    for axis, backwards in enumerate(turned):
        if backwards:
            values = np.flip(values, axis)
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
    return LabelMap(np.ascontiguousarray(values.transpose(order)), affine[:, [*order, 3]])


@settings(max_examples=40)
@given(scan=scans(), order=permutations, turned=flips)
def test_any_axis_order_and_any_flip_is_placed(scan, order, turned):
    shape, affine = scan
    label = in_another_order(painted(shape), affine, order, turned)
    placed = on_scan_grid(WHAT, label, shape, affine)
    np.testing.assert_array_equal(placed.values, painted(shape))
    np.testing.assert_array_equal(placed.affine, affine)


@settings(max_examples=40)
@given(scan=scans(), shift=st.tuples(*[st.floats(-0.09, 0.09)] * 3))
def test_a_shift_by_a_small_fraction_of_a_voxel_is_accepted(scan, shift):
    shape, affine = scan
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ shift
    np.testing.assert_array_equal(
        on_scan_grid(WHAT, LabelMap(painted(shape), moved), shape, affine).values, painted(shape)
    )


@settings(max_examples=40)
@given(
    scan=scans(),
    axis=st.integers(0, 2),
    voxels=st.one_of(st.floats(0.11, 40), st.integers(1, 12)),
    order=permutations,
    turned=flips,
)
def test_a_shifted_label_is_refused_also_by_whole_voxels(scan, axis, voxels, order, turned):
    shape, affine = scan
    moved = affine.copy()
    moved[:3, 3] += affine[:3, axis] * voxels
    label = in_another_order(painted(shape), moved, order, turned)
    with pytest.raises(GeometryMismatch, match="another grid"):
        on_scan_grid(WHAT, label, shape, affine)


@settings(max_examples=40)
@given(scan=scans(), axis=st.integers(0, 2), factor=st.sampled_from([0.5, 0.9, 1.1, 2.0]))
def test_other_voxel_sizes_are_refused(scan, axis, factor):
    shape, affine = scan
    other = affine.copy()
    other[:3, axis] *= factor
    with pytest.raises(GeometryMismatch, match="another grid"):
        on_scan_grid(WHAT, LabelMap(painted(shape), other), shape, affine)


@settings(max_examples=40)
@given(scan=scans(), data=st.data(), order=permutations, turned=flips, said=st.booleans())
def test_a_cropped_segmentation_is_padded(scan, data, order, turned, said):
    shape, affine = scan
    low = [data.draw(st.integers(0, size - 1)) for size in shape]
    high = [data.draw(st.integers(start + 1, size)) for start, size in zip(low, shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    cut = affine.copy()
    cut[:3, 3] = (affine @ [*low, 1])[:3]
    label = in_another_order(painted(shape)[box], cut, order, turned)
    label = LabelMap(label.values, label.affine, is_segmentation=True, offset_ijk=tuple(low) if said else None)
    expected = np.zeros(shape, np.uint16)
    expected[box] = painted(shape)[box]
    np.testing.assert_array_equal(on_scan_grid(WHAT, label, shape, affine).values, expected)


@settings(max_examples=40)
@given(scan=scans(), data=st.data(), segmentation=st.booleans())
def test_a_cropped_array_without_an_offset_is_refused(scan, data, segmentation):
    """The array was cropped without its affine, or it belongs to a smaller scan with the same voxels and origin."""
    shape, affine = scan
    axis = data.draw(st.integers(0, 2))
    values = np.zeros(shape, np.uint16)
    values[1, 1, 1] = 1
    part = values.take(range(2 if shape[axis] > 2 else 1), axis=axis)
    with pytest.raises(GeometryMismatch, match="has shape"):
        on_scan_grid(WHAT, LabelMap(part, affine, is_segmentation=segmentation), shape, affine)


@settings(max_examples=40)
@given(scan=scans(), axis=st.integers(0, 2), beyond=st.integers(1, 3))
def test_a_segmentation_that_reaches_beyond_the_scan_loses_no_paint(scan, axis, beyond):
    shape, affine = scan
    start = np.zeros(3, int)
    start[axis] = -beyond
    larger = affine.copy()
    larger[:3, 3] += affine[:3, :3] @ start
    size = np.array(shape)
    size[axis] += beyond
    values = np.zeros(size, np.uint16)
    values[tuple(size - 1)] = 7
    label = LabelMap(values, larger, is_segmentation=True, offset_ijk=tuple(int(x) for x in start))
    expected = np.zeros(shape, np.uint16)
    expected[-1, -1, -1] = 7
    np.testing.assert_array_equal(on_scan_grid(WHAT, label, shape, affine).values, expected)
    values[0, 0, 0] = 1
    with pytest.raises(GeometryMismatch, match="1 of its painted voxels lie outside"):
        on_scan_grid(WHAT, label, shape, affine)
