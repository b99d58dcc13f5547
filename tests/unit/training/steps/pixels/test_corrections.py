"""The place of the next simulated click when training corrects the model's answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medvlsam2.model.pixel_decoder.volume_sam2 import SlicePrompts
from medvlsam2.training.steps.pixels.corrections import with_correction

SIDE, IMAGE = 32, 64


def square(top: int, left: int, size: int) -> Tensor:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[top : top + size, left : left + size] = True
    return mask


def click(predicted: Tensor, target: Tensor) -> tuple[tuple[float, float], int]:
    """Return the pixel of the next click, and whether the click is positive."""
    prompts = with_correction(SlicePrompts(), predicted[None], target[None], IMAGE)
    assert prompts.points_xy is not None
    assert prompts.point_labels is not None
    x, y = ((prompts.points_xy[0, 0] + 0.5) / 2 - 0.5).tolist()
    return (x, y), int(prompts.point_labels[0, 0])


def test_a_missed_part_is_clicked_in_its_midst() -> None:
    target = square(4, 6, 5) | square(20, 20, 9)
    (x, y), label = click(square(4, 6, 5), target)
    assert label == 1
    assert 22 <= x <= 26
    assert 22 <= y <= 26


def test_the_largest_error_is_taken_and_a_surplus_is_taken_away() -> None:
    target = square(4, 4, 8)
    predicted = (target & ~square(4, 4, 2)) | square(18, 18, 9)
    (x, y), label = click(predicted, target)
    assert label == 0
    assert 20 <= x <= 24
    assert 20 <= y <= 24


def test_errors_of_two_kinds_side_by_side_are_not_taken_for_one() -> None:
    """A shifted mask misses pixels on one side and has too many on the other; the click lies in one of these areas."""
    target, predicted = square(8, 8, 10), square(8, 14, 10)
    (x, y), label = click(predicted, target)
    assert bool(target[int(y), int(x)]) == bool(label)
    assert bool(target[int(y), int(x)]) != bool(predicted[int(y), int(x)])


def test_a_right_mask_is_confirmed() -> None:
    target = square(10, 12, 7)
    (x, y), label = click(target, target)
    assert label == 1
    assert bool(target[int(y), int(x)])


@pytest.mark.parametrize("corners", [True, False])
def test_the_new_click_is_added_after_the_given_prompts(corners: bool) -> None:
    given = torch.tensor([[[3.0, 4.0], [40.0, 41.0]]]) if corners else torch.tensor([[[3.0, 4.0]]])
    labels = torch.tensor([[2, 3]]) if corners else torch.tensor([[1]])
    prompts = with_correction(SlicePrompts(given, labels), square(0, 0, 4)[None], square(8, 8, 9)[None], IMAGE)
    assert prompts.points_xy is not None
    assert prompts.point_labels is not None
    torch.testing.assert_close(prompts.points_xy[:, :-1], given)
    assert prompts.point_labels[0].tolist() == [*labels[0].tolist(), 1]
