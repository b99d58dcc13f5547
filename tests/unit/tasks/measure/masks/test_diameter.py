"""The longest diameter on a slice, by hand and on shapes that are known."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.tasks.measure.masks.diameter import longest_diameter_mm


def test_an_empty_mask_has_no_diameter() -> None:
    assert longest_diameter_mm(np.zeros((4, 4, 4), dtype=bool), (1.0, 1.0)) == 0.0


def test_one_voxel_is_as_wide_as_itself() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[1, 2, 3] = True
    assert longest_diameter_mm(mask.transpose(2, 0, 1), (0.7, 0.8)) == pytest.approx(0.7)


@pytest.mark.parametrize(("step", "wanted"), [((1, 0), 7.0), ((0, 1), 7.0), ((1, 1), 6 * 2**0.5 + 1)])
def test_the_diameter_of_a_line(step: tuple[int, int], wanted: float) -> None:
    mask = np.zeros((9, 9, 3), dtype=bool)
    for n in range(7):
        mask[1 + n * step[0], 1 + n * step[1], 1] = True
    assert longest_diameter_mm(mask.transpose(2, 0, 1), (1.0, 1.0)) == pytest.approx(wanted)


def test_a_ball_has_its_diameter() -> None:
    places = np.stack(np.meshgrid(*(np.arange(41) for _ in range(3)), indexing="ij"), axis=-1)
    mask = np.linalg.norm((places - 20) * np.array([3.0, 1.0, 0.5]), axis=-1) <= 9
    assert longest_diameter_mm(mask, (1.0, 0.5)) == pytest.approx(18, abs=1.5)


def test_parts_on_different_slices_are_not_joined() -> None:
    mask = np.zeros((30, 30, 4), dtype=bool)
    mask[0:3, 0:3, 0] = True
    mask[27:30, 27:30, 2] = True
    assert longest_diameter_mm(mask.transpose(2, 0, 1), (1.0, 1.0)) == pytest.approx(2 * 2**0.5 + 1)
