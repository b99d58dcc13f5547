"""What a mask measures, on shapes whose size is known, and masks that are kept in little memory."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import measure, pieces_of

LPS = np.diag([-1.0, -2.0, 3.0, 1.0])


def scan(hu: np.ndarray, affine: np.ndarray = LPS) -> CTVolume:
    return CTVolume(hu.astype(np.int16), affine, "shapes")


def block(*ends: tuple[int, int], shape: tuple[int, int, int] = (30, 24, 20)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(low, high) for low, high in ends)] = True
    return mask


def kept(mask: np.ndarray) -> KeptMask:
    one = KeptMask.of(mask)
    assert one is not None
    return one


def test_a_kept_mask_comes_back_as_it_was() -> None:
    mask = np.random.default_rng(0).random((9, 11, 7)) > 0.8
    mask[:2] = mask[:, :3] = mask[..., -1:] = False
    one = kept(mask)
    assert np.array_equal(one.whole(), mask)
    assert one.voxels == mask.sum()
    assert one.bits.nbytes < mask.nbytes / 8
    assert KeptMask.of(np.zeros((3, 3, 3), dtype=bool)) is None


def test_masks_are_compared_and_joined() -> None:
    one, other, far = block((2, 10), (2, 10), (2, 10)), block((8, 14), (8, 20), (0, 4)), block((20, 22), (0, 2), (0, 2))
    assert kept(one).overlap(kept(other)) == (one & other).sum()
    assert kept(one).overlap(kept(far)) == 0
    assert np.array_equal(kept(one).union(kept(other), kept(far)).whole(), one | other | far)


def test_a_block_measures_what_it_is() -> None:
    hu = np.full((30, 24, 20), -100.0)
    mask = block((4, 24), (4, 10), (5, 13))
    hu[mask] = np.where(np.arange(mask.sum()) % 2, 60, 40)
    told = measure(kept(mask), scan(hu))
    assert told.volume_ml == pytest.approx(20 * 6 * 8 * 6 / 1000)
    across = np.hypot(19, 2 * 5)
    assert told.longest_mm == pytest.approx(across + 1)
    assert told.short_axis_mm == pytest.approx(2 * 19 * 10 / across + 1), "twice the height of a corner over a diagonal"
    assert told.length_mm == pytest.approx(np.hypot(across, 3 * 7) + 1)
    assert told.height_mm == pytest.approx(8 * 3)
    assert told.slices == (5, 12)
    assert (told.mean_hu, told.sd_hu, told.hu_inside) == (pytest.approx(50, abs=1), pytest.approx(10, abs=0.5), True)
    assert (told.pieces, told.cut) == (1, False)
    x, y, z = told.centre_ras
    assert (x, y, z) == (pytest.approx(-13.5, abs=1), pytest.approx(-13, abs=2), pytest.approx(25.5, abs=3))


def test_slices_count_along_the_patient_wherever_that_axis_lies() -> None:
    hu, mask = np.zeros((20, 30, 24)), block((5, 13), (4, 24), (4, 10), shape=(20, 30, 24))
    turned = np.array([[0, -1.0, 0, 0], [0, 0, -2.0, 0], [-3.0, 0, 0, 60], [0, 0, 0, 1.0]])
    told = measure(kept(mask), scan(hu, turned))
    assert (told.slices, told.height_mm) == ((5, 12), pytest.approx(24))
    assert told.longest_mm == pytest.approx(np.hypot(19, 10) + 1)
    assert told.centre_ras[2] == pytest.approx(60 - 3 * 8.5, abs=2)


def test_the_edge_is_left_out_of_the_density_of_what_is_thick_enough() -> None:
    hu = np.full((30, 24, 20), -100.0)
    thick = block((4, 14), (4, 14), (4, 14))
    hu[block((5, 13), (5, 13), (5, 13))] = 50
    assert measure(kept(thick), scan(hu)).mean_hu == 50
    thin = measure(kept(block((4, 14), (4, 6), (4, 14))), scan(hu))
    assert not thin.hu_inside
    assert thin.mean_hu < 50


@pytest.mark.parametrize(("slices", "is_cut"), [((0, 8), True), ((12, 20), True), ((1, 19), False)])
def test_what_reaches_an_end_of_the_scan_is_cut(slices: tuple[int, int], is_cut: bool) -> None:
    assert measure(kept(block((4, 14), (4, 14), slices)), scan(np.zeros((30, 24, 20)))).cut == is_cut


def test_a_few_voxels_at_the_end_do_not_cut() -> None:
    mask = block((4, 24), (4, 20), (1, 10))
    mask[10, 10, 0] = True
    assert not measure(kept(mask), scan(np.zeros((30, 24, 20)))).cut


def test_pieces_are_apart_and_the_largest_comes_first() -> None:
    small, large = block((1, 3), (1, 3), (1, 3)), block((10, 20), (10, 20), (10, 18))
    first, second = pieces_of(kept(small | large))
    assert np.array_equal(first.whole(), large)
    assert np.array_equal(second.whole(), small)


@pytest.mark.parametrize(
    "mask", [block((4, 5), (4, 5), (4, 5)), block((4, 20), (4, 5), (4, 5)), block((4, 9), (4, 9), (4, 5))]
)
def test_points_lines_and_planes_have_lengths(mask: np.ndarray) -> None:
    told = measure(kept(mask), scan(np.zeros((30, 24, 20))))
    places = np.argwhere(mask) * (1, 2, 3)
    assert told.length_mm == pytest.approx(np.linalg.norm(places.max(axis=0) - places.min(axis=0)) + 1)
