"""For any orientation, spacing and obliquity: index to world and back, compared with nibabel."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medvlsam2 import geometry

ORIENTATIONS = [
    "".join(axis[sign] for axis, sign in zip(axes, signs, strict=True))
    for axes in permutations(("LR", "PA", "IS"))
    for signs in product((0, 1), repeat=3)
]

angles = st.floats(-0.6, 0.6)
spacings = st.tuples(*[st.floats(0.1, 10.0)] * 3)
origins = st.tuples(*[st.floats(-2000, 2000)] * 3)
shapes = st.tuples(*[st.integers(2, 12)] * 3)


@st.composite
def grids(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    """Draw an orientation and an affine with this orientation, rotated by up to 34 degrees about an oblique axis."""
    code = draw(st.sampled_from(ORIENTATIONS))
    affine = np.eye(4)
    turn = about_axis(np.array(draw(st.tuples(*[st.floats(-1, 1)] * 3))), draw(angles))
    affine[:3, :3] = turn @ axis_matrix(code) @ np.diag(draw(spacings))
    affine[:3, 3] = draw(origins)
    return code, affine


def axis_matrix(code: str) -> np.ndarray:
    matrix = np.zeros((3, 3))
    for axis, letter in enumerate(code):
        world = next(number for number, names in enumerate(("LR", "PA", "IS")) if letter in names)
        matrix[world, axis] = 1 if letter in "RAS" else -1
    return matrix


def about_axis(axis: np.ndarray, angle_rad: float) -> np.ndarray:
    """Return the rotation about an axis (Rodrigues' formula); no rotation for a vector of length 0."""
    length = np.linalg.norm(axis)
    if length < 1e-3:
        return np.eye(3)
    x, y, z = axis / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@given(grids(), hnp.arrays(np.float64, (4, 3), elements=st.floats(-600, 600)))
def test_index_to_world_and_back_is_the_identity(grid, points_ijk):
    _, affine = grid
    back_ijk = geometry.ras_to_ijk(geometry.ijk_to_ras(points_ijk, affine), affine)
    np.testing.assert_allclose(back_ijk, points_ijk, atol=1e-6)


@given(grids(), hnp.arrays(np.float64, (4, 3), elements=st.floats(-600, 600)))
def test_lps_is_ras_with_two_signs_changed(grid, points_ijk):
    _, affine = grid
    points_lps = geometry.ijk_to_ras(points_ijk, geometry.ras_to_lps_affine(affine))
    np.testing.assert_allclose(points_lps * (-1, -1, 1), geometry.ijk_to_ras(points_ijk, affine), atol=1e-9)


@given(grids())
def test_spacing_and_volume_do_not_depend_on_the_orientation(grid):
    _, affine = grid
    steps_mm = np.diff(geometry.ijk_to_ras(np.array([[0, 0, 0], [1, 0, 0]]), affine), axis=0)
    assert geometry.spacing_mm(affine)[0] == pytest.approx(np.linalg.norm(steps_mm))
    assert geometry.voxel_volume_ml(affine) == pytest.approx(np.prod(geometry.spacing_mm(affine)) / 1000)


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_every_orientation_has_its_name(code):
    affine = np.eye(4)
    affine[:3, :3] = axis_matrix(code) @ np.diag([0.7, 0.9, 2.5])
    assert geometry.orientation_codes(affine) == code
    assert "".join(nib.aff2axcodes(affine)) == code


@given(grids())
def test_oblique_orientations_are_named_as_nibabel_names_them(grid):
    _, affine = grid
    assert geometry.orientation_codes(affine) == "".join(nib.aff2axcodes(affine))


@given(grids(), shapes)
def test_the_reoriented_affine_is_nibabels(grid, shape):
    _, affine = grid
    ornt = nib.io_orientation(affine)
    turned = geometry.reoriented_affine(affine, shape)
    np.testing.assert_allclose(turned, affine @ nib.orientations.inv_ornt_aff(ornt, shape), atol=1e-9)
    assert geometry.orientation_codes(turned) == "RAS"


@given(grids(), shapes)
def test_a_reoriented_array_keeps_every_voxel_in_its_place(grid, shape):
    _, affine = grid
    values = np.arange(np.prod(shape)).reshape(shape)
    reoriented = nib.orientations.apply_orientation(values, nib.io_orientation(affine))
    turned = geometry.reoriented_affine(affine, shape)
    corners_ijk = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(reoriented.shape) - 1)
    source_ijk = np.rint(geometry.ras_to_ijk(geometry.ijk_to_ras(corners_ijk, turned), affine)).astype(int)
    np.testing.assert_array_equal(values[tuple(source_ijk.T)], reoriented[tuple(corners_ijk.T)])
