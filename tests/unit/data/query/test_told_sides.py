"""Sides that a text tells, and words that only look like a side."""

from __future__ import annotations

import pytest

from medvlsam2.data.query.told_sides import possible_sides, told_sides


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("How big is the left kidney?", {"left"}),
        ("rt. lung volume", {"right"}),
        ("L femur length", {"left"}),
        ("difference between L and R kidney", {"left", "right"}),
        ("cyst: L/R?", {"left", "right"}),
        ("the rihgt adrenal gland", {"right"}),
        ("left-sided stones", {"left"}),
        ("leftmost cyst", {"left"}),
        ("volume of the liver in L", set()),
        ("the liver has 1.5 L, right?", set()),
        ("What is left of the liver?", set()),
        ("Is that right?", set()),
        ("lungs with the RML left out", set()),
        ("r/o metastasis", set()),
        ("L-1 and the vertebra right below T12", set()),
        ("Elevated LFTs. Is the liver enlarged?", set()),
        ("stone on the left, right?", {"left"}),
    ],
)
def test_sides_of_a_text(text: str, sides: set[str]) -> None:
    assert told_sides(text) == sides


def test_a_side_after_a_comma_is_possible_but_not_sure() -> None:
    assert told_sides("volume of the kidney, right?") == set()
    assert possible_sides("volume of the kidney, right?") == {"right"}
