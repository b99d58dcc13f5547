"""On oblique, mirrored and permuted grids an expression means the same object of the patient; sides never change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.data.query.reading import read_object
from medvlsam2.tasks.objects.find import find_object

from .conftest import BODY, Scene, Solid, ball, facts_of, grid

CYSTS: Scene = {
    "liver_cyst": [ball(15, 20, 45, 12, 5), ball(70, 25, 15, 15, 10)],
    "kidney_cyst_left": [ball(-45, -40, -5, 11, 0)],
    "kidney_cyst_right": [ball(45, -45, -60, 11, 0)],
}
EXPECTED: dict[str, Solid] = {
    "kidneys on the left": BODY["kidney_left"][0],
    "kidneys on the right": BODY["kidney_right"][0],
    "leftmost kidneys": BODY["kidney_left"][0],
    "highest kidneys": BODY["kidney_left"][0],
    "lowest kidneys": BODY["kidney_right"][0],
    "kidneys nearest to spleen": BODY["kidney_left"][0],
    "kidneys right of aorta": BODY["kidney_right"][0],
    "rightmost liver cyst": CYSTS["liver_cyst"][1],
    "highest cyst": CYSTS["liver_cyst"][0],
    "liver cyst nearest to liver": CYSTS["liver_cyst"][1],
    "largest cyst on the left": CYSTS["kidney_cyst_left"][0],
    "cyst in right kidney": CYSTS["kidney_cyst_right"][0],
    "foremost cyst": CYSTS["liver_cyst"][1],
    "lowest cyst behind liver": CYSTS["kidney_cyst_right"][0],
    "highest cyst below liver": CYSTS["kidney_cyst_right"][0],
}
HALVES = {
    "left half of liver": (0, -1),
    "right half of liver": (0, 1),
    "front half of liver": (1, 1),
    "back half of liver": (1, -1),
    "upper half of liver": (2, 1),
    "lower half of liver": (2, -1),
}
"""Axis of the patient and the sign of the half (RAS)."""


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Any order and sign of the axes, turned by up to 30 degrees about each axis of the patient."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    axes = np.eye(3)[:, order] * np.array(signs)
    return grid(_turn(draw(st.tuples(*[st.floats(-0.5, 0.5)] * 3))) @ axes, draw(st.sampled_from((5.0, 5.6))))


def _turn(angles_rad: tuple[float, ...]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        one = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        one[first, first] = one[second, second] = np.cos(angle)
        one[first, second], one[second, first] = -np.sin(angle), np.sin(angle)
        matrix = one @ matrix
    return matrix


@settings(max_examples=12, deadline=None)
@given(affines())
def test_the_same_object_on_any_grid(affine: np.ndarray):
    facts = facts_of({**BODY, **CYSTS}, affine)
    for text, solid in EXPECTED.items():
        one = find_object(read_object(text), facts)
        assert one.mask is not None, f"{text}: {one.reason}"
        assert (one.mask.whole() == solid.drawn(affine)).all(), text


@settings(max_examples=12, deadline=None)
@given(affines(), st.sampled_from(sorted(HALVES)))
def test_a_half_lies_on_its_side_of_the_patient(affine: np.ndarray, text: str):
    one = find_object(read_object(text), facts_of(BODY, affine))
    axis, sign = HALVES[text]
    (half,) = one.things
    away = half.shape.surface_ras[:, axis] - BODY["liver"][0].centre_ras[axis]
    assert (sign * away).min() > -4
    assert half.kept.voxels / BODY["liver"][0].drawn(affine).sum() == pytest.approx(0.5, abs=0.06)
