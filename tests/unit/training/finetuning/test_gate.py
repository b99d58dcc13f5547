"""The gate compares with the best of all versions, per structure, and on the same scans only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.training.finetuning.gate import TOLERANCE, Fall, Measured, Scores, mean_dice
from medvlsam2.training.finetuning.gate import falls as falls_of_sizes

BEST = Measured("v0003", {"a": {"liver": 0.90, "spleen": 0.80}, "b": {"liver": 0.70}})

LARGE = {scan: dict.fromkeys(("liver", "spleen", "aorta"), 4000) for scan in "abc"}
"""Sizes at which one pixel is worth less than the tolerance."""


def falls(candidate: Scores, known: list[Measured]) -> list[Fall]:
    return falls_of_sizes(candidate, known, LARGE)


@pytest.mark.parametrize(
    ("candidate", "refused"),
    [
        ({"a": {"liver": 0.90, "spleen": 0.80}, "b": {"liver": 0.70}}, []),
        # Better for a structure on one scan, worse on the other: its mean counts.
        ({"a": {"liver": 0.85, "spleen": 0.80}, "b": {"liver": 0.75}}, []),
        ({"a": {"liver": 0.90, "spleen": 0.80 - TOLERANCE}, "b": {"liver": 0.80}}, []),
        ({"a": {"liver": 0.99, "spleen": 0.799 - TOLERANCE}, "b": {"liver": 0.99}}, ["spleen"]),
        ({"a": {"liver": 0.50, "spleen": 0.70}, "b": {"liver": 0.70}}, ["liver", "spleen"]),
        # A scan whose label was corrected is another scan, and a new structure has nothing to be compared with.
        ({"c": {"liver": 0.10}, "b": {"liver": 0.70, "aorta": 0.0}}, []),
        ({"c": {"liver": 0.99}, "b": {"liver": 0.60}}, ["liver"]),
        ({}, []),
    ],
)
def test_what_is_refused(candidate: Scores, refused: list[str]) -> None:
    assert [fall.structure for fall in falls(candidate, [BEST])] == refused


def test_each_structure_is_compared_with_the_version_that_was_best_on_it() -> None:
    known = [
        Measured("v0001", {"a": {"liver": 0.95, "spleen": 0.60}}),
        Measured("v0002", {"a": {"liver": 0.80, "spleen": 0.90}}),
    ]
    found = falls({"a": {"liver": 0.85, "spleen": 0.75}}, known)
    assert [(fall.structure, fall.version) for fall in found] == [("spleen", "v0002"), ("liver", "v0001")]
    assert found[0].sentence() == (
        "spleen: Dice 0.750, while version v0002 had 0.900 on the same 1 hold-out scan; a loss of 0.005 is allowed"
    )


DICE = st.floats(0.0, 1.0, allow_nan=False)
SCANS = st.dictionaries(
    st.sampled_from("abc"),
    st.dictionaries(st.sampled_from(["liver", "spleen", "aorta"]), DICE, min_size=1),
    min_size=1,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(SCANS, min_size=1, max_size=6))
def test_however_many_are_published_none_is_far_below_the_best(chain: list[Scores]) -> None:
    """Hold-outs may come and go between two publications."""
    published: list[Measured] = []
    for number, candidate in enumerate(chain):
        if not falls(candidate, published):
            published.append(Measured(f"v{number:04d}", candidate))
    for later, earlier in ((b, a) for n, b in enumerate(published) for a in published[:n]):
        for structure in ("liver", "spleen", "aorta"):
            both = [
                scan
                for scan in later.scores.keys() & earlier.scores.keys()
                if structure in later.scores[scan] and structure in earlier.scores[scan]
            ]
            if both:
                lost = sum(earlier.scores[scan][structure] - later.scores[scan][structure] for scan in both) / len(both)
                assert lost <= TOLERANCE + 1e-8


def test_every_structure_counts_alike_in_the_mean() -> None:
    assert mean_dice({"a": {"liver": 0.9, "spleen": 0.3}, "b": {"liver": 0.7}}) == pytest.approx((0.8 + 0.3) / 2)
    assert mean_dice({}) == 0.0


@pytest.mark.parametrize(("loss", "refused"), [(0.03, []), (0.04, ["gallbladder"])])
def test_a_structure_of_few_pixels_may_lose_one_of_them(loss: float, refused: list[str]) -> None:
    """Two scans with 16 pixels each: one pixel of one scan is worth 1/16, and half of it in the mean."""
    best = Measured("base", {"a": {"gallbladder": 0.8}, "b": {"gallbladder": 0.8}})
    candidate = {"a": {"gallbladder": 0.8 - 2 * loss}, "b": {"gallbladder": 0.8}}
    sizes = {"a": {"gallbladder": 16}, "b": {"gallbladder": 16}}
    assert [fall.structure for fall in falls_of_sizes(candidate, [best], sizes)] == refused
