"""Clicks and boxes as a mask prompt: each is where it was put."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medvlsam2.model.pixel_decoder.drawn_prompts import draw_prompts

IMAGE, MASK = 192, 96


def draw(points: list[tuple[float, float]], labels: list[int]) -> Tensor:
    drawn = draw_prompts(torch.tensor([points]), torch.tensor([labels]), image_size=IMAGE, mask_size=MASK)
    assert drawn.shape == (1, 1, MASK, MASK)
    return drawn[0, 0]


@pytest.mark.parametrize(("x", "y"), [(20.5, 150.5), (150.5, 20.5), (0.5, 190.5)])
def test_a_click_is_highest_at_its_own_pixel(x: float, y: float) -> None:
    drawn = draw([(x, y)], [1])
    row, column = divmod(int(drawn.argmax()), MASK)
    assert (column, row) == (int(x) // 2, int(y) // 2)
    assert float(drawn[(row + MASK // 2) % MASK, column].abs()) < 1e-3


def test_a_negative_click_is_the_opposite_of_a_positive_one() -> None:
    torch.testing.assert_close(draw([(60.0, 80.0)], [0]), -draw([(60.0, 80.0)], [1]))


def test_padding_draws_nothing() -> None:
    assert not draw([(60.0, 80.0)], [-1]).any()
    torch.testing.assert_close(draw([(60.0, 80.0), (9.0, 9.0)], [1, -1]), draw([(60.0, 80.0)], [1]))


def test_a_box_is_a_filled_rectangle() -> None:
    inside = draw([(39.5, 79.5), (99.5, 119.5)], [2, 3]) > 0
    rows, columns = torch.nonzero(inside.any(dim=1)).flatten(), torch.nonzero(inside.any(dim=0)).flatten()
    assert (int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])) == (20, 49, 40, 59)
    assert int(inside.sum()) == 30 * 20


def test_a_click_in_a_box_adds_to_it() -> None:
    box = [(40.0, 40.0), (120.0, 120.0)]
    both = draw([*box, (60.0, 60.0)], [2, 3, 0])
    torch.testing.assert_close(both, draw(box, [2, 3]) + draw([(60.0, 60.0)], [0]))


def test_rows_of_a_batch_do_not_mix() -> None:
    points = torch.tensor([[[40.0, 40.0], [120.0, 120.0]], [[50.0, 60.0], [100.0, 20.0]]])
    labels = torch.tensor([[2, 3], [1, 0]])
    batch = draw_prompts(points, labels, image_size=IMAGE, mask_size=MASK)
    for row in range(2):
        alone = draw_prompts(points[row : row + 1], labels[row : row + 1], image_size=IMAGE, mask_size=MASK)
        torch.testing.assert_close(batch[row : row + 1], alone)
