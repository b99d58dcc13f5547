"""Conversions between a scan's grid and the model's grid, for any orientation, spacing and obliquity."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medvlsam2.data.volume import CTVolume
from medvlsam2.geometry import orientation_codes
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.label_map import label_map_to_source
from medvlsam2.transforms.spatial import SpatialRecord

AIR_HU, BODY_HU = -1000, 40


@st.composite
def affines(draw: st.DrawFn, max_tilt_rad: float = 0.5) -> np.ndarray:
    """Draw an affine with any of the 48 orientations, tilted, with unequal spacings and any origin."""
    order = draw(st.permutations([0, 1, 2]))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    spacing_mm = draw(st.tuples(*[st.floats(0.4, 6.0)] * 3))
    tilt_rad = draw(st.tuples(*[st.floats(-max_tilt_rad, max_tilt_rad)] * 3))
    matrix = np.zeros((3, 3))
    for axis, (world, sign, mm) in enumerate(zip(order, signs, spacing_mm, strict=True)):
        matrix[world, axis] = sign * mm
    for axis, angle in enumerate(tilt_rad):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return affine


SHAPES = st.tuples(*[st.integers(2, 24)] * 3)
SIDES = st.sampled_from([16, 32, 64])


def body(shape_ijk: tuple[int, int, int], affine: np.ndarray) -> CTVolume:
    """Return a block of tissue with air around it if there is room."""
    hu = np.full(shape_ijk, AIR_HU, dtype=np.int16)
    hu[tuple(slice(n // 5, n - n // 5) for n in shape_ijk)] = BODY_HU
    return CTVolume(hu, affine, "block")


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, affine=affines(), side=SIDES, seed=st.integers(0, 2**20))
def test_points_survive_the_round_trip(shape: tuple[int, int, int], affine: np.ndarray, side: int, seed: int) -> None:
    record = plan(body(shape, affine), side)
    points_ijk = np.random.default_rng(seed).uniform(-3, np.array(shape) + 3, size=(9, 3))
    there = record.ijk_to_dhw(points_ijk)
    np.testing.assert_allclose(record.dhw_to_ijk(there), points_ijk, atol=1e-6)
    np.testing.assert_allclose(record.ijk_to_dhw(record.dhw_to_ijk(there)), there, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, affine=affines(), side=SIDES)
def test_model_axes_run_up_back_and_to_the_left(shape: tuple[int, int, int], affine: np.ndarray, side: int) -> None:
    record = plan(body(shape, affine), side)
    flips = "".join(
        code if not flip else dict(zip("LRPAIS", "RLAPSI", strict=True))[code]
        for code, flip in zip((orientation_codes(affine)[axis] for axis in record.axes), record.flips, strict=True)
    )
    assert flips == "SPL"
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    np.testing.assert_array_equal(record.unorient(record.orient(array)), array)
    d = shape[record.axes[0]] - 1
    assert record.source_slice(record.source_slice(d)) == d


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, affine=affines(), side=SIDES, data=st.data())
def test_a_click_lands_on_the_same_voxel(
    shape: tuple[int, int, int], affine: np.ndarray, side: int, data: st.DataObject
) -> None:
    record = plan(body(shape, affine), side)
    click = tuple(float(data.draw(st.integers(0, n - 1))) for n in shape)
    d, x, y = record.click_to_grid((click[0], click[1], click[2]), "Click 1")
    back = record.dhw_to_ijk(np.array([[d, y, x]]))[0]
    np.testing.assert_allclose(back, click, atol=1e-6)
    assert record.source_slice(d) == click[record.axes[0]]


@settings(deadline=None, max_examples=40)
@given(affine=affines(), side=SIDES, seed=st.integers(0, 2**20))
def test_a_click_lands_on_the_same_tissue(affine: np.ndarray, side: int, seed: int) -> None:
    """Blocks of 8 voxels have levels that are 100 HU apart; the pixel under a click shows the level of its block."""
    rng = np.random.default_rng(seed)
    levels = rng.permutation(27).reshape(3, 3, 3) * 100 - 300
    hu = levels.repeat(8, 0).repeat(8, 1).repeat(8, 2).astype(np.int16)
    record = plan(CTVolume(hu, affine, "blocks"), side)
    pixel_voxels = np.abs(np.diff(record.dhw_to_ijk(np.array([[0, 0, 0], [0, 1, 1]])), axis=0)).max()
    block = rng.integers(0, 3, size=3)
    click = tuple(float(8 * b + rng.integers(3, 5)) for b in block)
    d, x, y = record.click_to_grid((click[0], click[1], click[2]), "Click 1")
    shown = record.resize_slices(torch.from_numpy(record.orient(hu)[[d]].copy()))[0]
    if pixel_voxels <= 2.0:  # a coarser pixel averages over more than one block
        assert abs(float(shown[round(y), round(x)]) - hu[tuple(int(p) for p in click)]) < 1.0


def blob_logits(record: SpatialRecord, mask: np.ndarray, m: int) -> torch.Tensor:
    """Return the ideal mask logits of a mask at the resolution of the model's masks."""
    return torch.from_numpy(record.resize_labels(record.orient(mask.astype(np.uint8)), m)).float() * 20 - 10


@settings(deadline=None, max_examples=40)
@given(affine=affines(), shape=st.tuples(*[st.integers(24, 40)] * 3), seed=st.integers(0, 2**20))
def test_a_mask_survives_the_round_trip(affine: np.ndarray, shape: tuple[int, int, int], seed: int) -> None:
    """If mask pixels are no coarser than voxels, an ellipsoid has a Dice of at least 0.9 after the round trip."""
    rng = np.random.default_rng(seed)
    volume = body(shape, affine)
    record = plan(volume, 256)
    voxel_hw_mm = np.array(volume.spacing_mm)[[record.axes[1], record.axes[2]]]
    assume((np.array(record.pixel_mm) * 2 <= voxel_hw_mm).all())
    centre, radius = np.array(shape) / 2, np.array(shape) * rng.uniform(0.2, 0.28, size=3)
    grid = np.indices(shape).reshape(3, -1).T
    mask = ((((grid - centre) / radius) ** 2).sum(axis=1) < 1).reshape(shape)
    back = label_map_to_source([(blob_logits(record, mask, 128), record)], volume.hu) > 0
    assert back.shape == shape
    assert back.dtype == bool
    overlap = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert overlap >= 0.9
