"""A prompt's box is cut to the scan, once, before anything else reads it."""

from __future__ import annotations

import pytest

from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.prompts import ObjectPrompt

SHAPE = (8, 10, 4)
Box = tuple[int, int, int, int, int, int]


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((1, 3, 2, 7, 1, 3), (1, 3, 2, 7, 1, 3)),
        ((-5, 80, -1, 11, -9, 5), (0, 8, 0, 10, 0, 4)),
        ((7, 9, -2, 1, 3, 4), (7, 8, 0, 1, 3, 4)),
    ],
)
def test_a_box_may_reach_beyond_the_scan(box: Box, inside: Box) -> None:
    prompt = ObjectPrompt("liver", ((1.0, 1.0, 1.0),), (1,), box, name="mine").cut_to(SHAPE)
    assert prompt == ObjectPrompt("liver", ((1.0, 1.0, 1.0),), (1,), inside, name="mine")


def test_without_a_box_nothing_is_cut() -> None:
    prompt = ObjectPrompt("liver")
    assert prompt.cut_to(SHAPE) is prompt


@pytest.mark.parametrize("box", [(3, 3, 0, 5, 0, 2), (5, 2, 0, 5, 0, 2), (0, 2, 0, 5, 3, 1)])
def test_an_empty_or_inverted_box_is_refused(box: Box) -> None:
    with pytest.raises(InvalidPrompt, match="empty or inverted") as raised:
        ObjectPrompt(box_ijk=box).cut_to(SHAPE)
    assert str(box) in str(raised.value)


@pytest.mark.parametrize("box", [(8, 9, 0, 5, 0, 2), (-4, 0, 0, 5, 0, 2), (0, 2, 0, 5, 4, 9)])
def test_a_box_beside_the_scan_is_refused(box: Box) -> None:
    with pytest.raises(InvalidPrompt, match=r"outside the scan of shape \(8, 10, 4\)") as raised:
        ObjectPrompt(box_ijk=box).cut_to(SHAPE)
    assert str(box) in str(raised.value)
