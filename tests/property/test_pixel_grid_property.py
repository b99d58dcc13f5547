"""Half pixels against PyTorch, SciPy and ITK, which each count a grid in their own way."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medvlsam2 import pixel_grid

sizes = st.integers(1, 64)
places = st.floats(-100.0, 100.0)
scales = st.floats(0.05, 20.0)


@given(places, places, sizes, scales, st.integers(-50, 50))
def test_every_crossing_has_its_inverse_and_keeps_the_order(one, other, size, scale, first):
    crossings = [
        (pixel_grid.offset_of, pixel_grid.index_at),
        (lambda at: pixel_grid.rescaled(at, scale), lambda at: pixel_grid.rescaled(at, 1 / scale)),
        (lambda at: pixel_grid.to_crop(at, first, scale), lambda at: pixel_grid.from_crop(at, first, scale)),
    ]
    for there, back in crossings:
        assert back(there(one)) == pytest.approx(one, abs=1e-9)
    low, high = sorted((one, other))
    for there, _ in crossings:
        assert there(low) <= there(high)
    assert pixel_grid.share_of(low, size) <= pixel_grid.share_of(high, size)
    assert pixel_grid.normalised(low, size) <= pixel_grid.normalised(high, size)


@given(sizes, sizes, st.integers(-50, 50))
def test_edges_stay_edges(size, other, first):
    edges = [pixel_grid.index_at(0), pixel_grid.index_at(size)]
    assert edges == [-0.5, size - 0.5]  # pixel i covers i - 0.5 to i + 0.5
    assert [pixel_grid.share_of(edge, size) for edge in edges] == [0, 1]
    assert [pixel_grid.normalised(edge, size) for edge in edges] == [-1, 1]
    there = [pixel_grid.rescaled(edge, other / size) for edge in edges]
    assert there == pytest.approx([-0.5, other - 0.5])
    on_whole = [pixel_grid.from_crop(edge, first, other / size) for edge in edges]
    assert on_whole == pytest.approx([first - 0.5, first + other - 0.5])
    assert all(pixel_grid.is_inside(edge, size) for edge in edges)
    assert not pixel_grid.is_strictly_inside(torch.tensor(edges), size).any()
    assert not any(pixel_grid.is_inside(edge, size) for edge in (edges[0] - 1e-6, edges[1] + 1e-6))


@given(st.lists(places, min_size=1, max_size=8), sizes, scales)
def test_floats_arrays_and_tensors_agree_to_the_last_bit(given_places, size, scale):
    array, tensor = np.array(given_places), torch.tensor(given_places, dtype=torch.float64)
    for crossing in (
        pixel_grid.offset_of,
        pixel_grid.index_at,
        lambda at: pixel_grid.share_of(at, size),
        lambda at: pixel_grid.normalised(at, size),
        lambda at: pixel_grid.rescaled(at, scale),
        lambda at: pixel_grid.from_crop(at, 3, scale),
        lambda at: pixel_grid.to_crop(at, 3, scale),
    ):
        expected = [crossing(place) for place in given_places]
        assert crossing(array).tolist() == expected
        assert crossing(tensor).tolist() == expected


@given(sizes, st.integers(1, 8))
def test_each_pixel_that_is_split_is_under_its_parts(size, parts):
    under = pixel_grid.pixel_under(np.arange(size * parts), size * parts, size)
    np.testing.assert_array_equal(under, np.repeat(np.arange(size), parts))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 24), st.integers(1, 48))
def test_a_resized_picture_shows_what_pytorch_and_itk_show(size, other):
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    centres = pixel_grid.rescaled(np.arange(other), size / other)
    ours = ndimage.map_coordinates(values, [centres], order=1, mode="nearest")  # counts indices as we do
    resized = F.interpolate(torch.from_numpy(values)[None, None], size=other, mode="linear", align_corners=False)
    np.testing.assert_allclose(ours, resized[0, 0], atol=1e-5)
    image = sitk.GetImageFromArray(np.repeat(values[None], 2, axis=0))  # two rows, since ITK has no images of one axis
    origin = (pixel_grid.rescaled(0.0, size / other), 0.0)
    shown = sitk.Resample(image, (other, 2), sitk.Transform(), sitk.sitkLinear, origin, (size / other, 1.0))
    inside = (centres >= 0) & (centres <= size - 1)  # beyond the outer centres ITK has no value
    np.testing.assert_allclose(ours[inside], sitk.GetArrayFromImage(shown)[0][inside], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 24), st.lists(st.floats(-0.5, 1.0), min_size=1, max_size=8))
def test_normalised_places_are_those_of_grid_sample(size, shares):
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    at = np.array(shares, dtype=np.float32) * size
    expected = ndimage.map_coordinates(values, [at], order=1, mode="nearest")
    x = pixel_grid.normalised(torch.from_numpy(at), size)
    grid = torch.stack([x, torch.zeros_like(x)], dim=-1)[None, None]
    sampled = F.grid_sample(
        torch.from_numpy(values)[None, None, None], grid, padding_mode="border", align_corners=False
    )
    np.testing.assert_allclose(sampled[0, 0, 0], expected, atol=1e-4)


@given(st.integers(1, 24))
def test_centres_lie_in_the_middle_of_their_pixels(size):
    np.testing.assert_array_equal(pixel_grid.index_at(pixel_grid.centre_offsets(size)), np.arange(size))
    assert pixel_grid.middle_of(size) == np.arange(size).mean()
    x = F.affine_grid(torch.eye(2, 3, dtype=torch.float64)[None], [1, 1, 1, size], align_corners=False)[0, 0, :, 0]
    np.testing.assert_allclose(2 * pixel_grid.centre_shares(size) - 1, x, atol=1e-12)
