"""Indices, millimetres and directions, against numbers worked out by hand and against nibabel."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from medvlsam2 import geometry
from medvlsam2.errors import GeometryMismatch

# i grows to the left by 0.5 mm, j to the back by 0.75 mm, k to the head by 2 mm.
LPS = np.array([[-0.5, 0, 0, 100], [0, -0.75, 0, 50], [0, 0, 2, -30], [0, 0, 0, 1]], dtype=float)
# i grows to the head, j to the right, k to the back.
SRP = np.array([[0, 1.5, 0, 1], [0, 0, -2.5, 2], [0.5, 0, 0, 3], [0, 0, 0, 1]], dtype=float)


def test_voxel_centres_have_whole_indices():
    points_ras = geometry.ijk_to_ras(np.array([[0, 0, 0], [2, 4, 3]]), LPS)
    np.testing.assert_array_equal(points_ras, [[100, 50, -30], [99, 47, -24]])
    points_ijk = geometry.ras_to_ijk(np.array([[99.75, 50, -29]]), LPS)
    np.testing.assert_allclose(points_ijk, [[0.5, 0, 0.5]], atol=1e-12)


def test_permuted_axes():
    np.testing.assert_array_equal(geometry.ijk_to_ras(np.array([[2, 1, 4]]), SRP), [[2.5, -8, 4]])


def test_lps_flips_x_and_y_and_is_its_own_inverse():
    flipped = geometry.ras_to_lps_affine(LPS)
    np.testing.assert_array_equal(flipped[:3, 3], (-100, -50, -30))
    np.testing.assert_array_equal(flipped[:3, 0], (0.5, 0, 0))
    np.testing.assert_array_equal(geometry.ras_to_lps_affine(flipped), LPS)


def test_spacing_and_volume_also_of_oblique_and_sheared_grids(oblique_affine):
    assert geometry.spacing_mm(LPS) == (0.5, 0.75, 2.0)
    assert geometry.spacing_mm(oblique_affine) == pytest.approx((0.7, 0.9, 2.5))
    assert geometry.voxel_volume_ml(oblique_affine) == pytest.approx(0.7 * 0.9 * 2.5 / 1000)
    sheared = LPS.copy()
    sheared[1, 2] = 1.5
    assert geometry.spacing_mm(sheared)[2] == 2.5
    assert geometry.voxel_volume_ml(sheared) == pytest.approx(0.5 * 0.75 * 2 / 1000)


def test_orientation_says_where_the_indices_grow(oblique_affine):
    assert geometry.orientation_codes(np.eye(4)) == "RAS"
    assert geometry.orientation_codes(LPS) == "LPS"
    assert geometry.orientation_codes(SRP) == "SRP"
    assert geometry.orientation_codes(oblique_affine) == "LPS"
    assert geometry.closest_axes(SRP) == ((2, 1), (0, 1), (1, -1))


def test_each_world_axis_is_named_once_even_at_45_degrees():
    half = np.sqrt(0.5)
    turned = np.eye(4)
    turned[:3, :3] = [[half, half, 0], [half, -half, 0], [0, 0, 1]]
    assert sorted(world for world, _ in geometry.closest_axes(turned)) == [0, 1, 2]


@pytest.mark.parametrize("affine", [LPS, SRP])
def test_reoriented_affine_is_nibabels(affine):
    values = np.arange(5 * 7 * 9, dtype=np.int16).reshape(5, 7, 9)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(values, affine))
    np.testing.assert_allclose(geometry.reoriented_affine(affine, values.shape), canonical.affine, atol=1e-5)


def test_equal_grids_pass_up_to_the_tolerance():
    near, far = LPS.copy(), LPS.copy()
    slice_mm = geometry.spacing_mm(LPS)[2]
    near[2, 3] += 0.09 * slice_mm
    far[2, 3] += 0.11 * slice_mm
    geometry.require_same_grid("Label map", (5, 7, 9), LPS, (5, 7, 9), near)
    with pytest.raises(GeometryMismatch, match=r"Label map: its corners lie up to 0\.11 voxels"):
        geometry.require_same_grid("Label map", (5, 7, 9), LPS, (5, 7, 9), far)


def test_another_shape_is_refused_with_both_shapes():
    with pytest.raises(GeometryMismatch) as caught:
        geometry.require_same_grid("Label map", (5, 7, 9), LPS, (7, 5, 9), LPS)
    assert "(7, 5, 9)" in str(caught.value)
    assert "(5, 7, 9)" in str(caught.value)


def test_an_affine_with_nan_is_not_the_same_grid():
    broken = LPS.copy()
    broken[0, 0] = np.nan
    with pytest.raises(GeometryMismatch, match="nan"):
        geometry.require_same_grid("Label map", (5, 7, 9), LPS, (5, 7, 9), broken)
