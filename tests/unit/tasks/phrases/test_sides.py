"""The side that a phrase binds its object to."""

from __future__ import annotations

import pytest

from medvlsam2.tasks.phrases.sides import side_in


@pytest.mark.parametrize(
    ("phrase", "side", "organ", "is_finding"),
    [
        ("left renal cyst", "left", "kidney_left", True),
        ("the largest cyst in the right kidney", "right", "kidney_right", True),
        ("left kidney stone", "left", "kidney_left", True),
        ("pleural effusion on the left side", "left", "lung_left", True),
        ("left-sided pneumothorax", "left", "lung_left", True),
        ("left soft-tissue sarcoma", "left", None, True),
        ("lt. kidney", "left", "kidney_left", False),
    ],
)
def test_a_side_is_bound_to_its_organ(phrase: str, side: str, organ: str | None, is_finding: bool) -> None:
    found = side_in(phrase)
    assert found is not None
    assert (found.side, found.organ, found.is_finding) == (side, organ, is_finding)


@pytest.mark.parametrize(
    "phrase",
    [
        "liver",
        "kidneys",
        "left ventricle",
        "cyst in the left atrium",
        "left common iliac vein",
        "left and right kidney",
    ],
)
def test_no_side_of_the_body(phrase: str) -> None:
    """Chambers of the heart have left and right as names; some vessels cross the middle."""
    assert side_in(phrase) is None
