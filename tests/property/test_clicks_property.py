"""For any clicks: removing a click gives the mask before that click, and the order of clicks does not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

SLICES = 10
SIDE = 40
BOX = (8, 36, 10, 38, 2, 8)

Click = tuple[tuple[float, float, float], int]


def clicks(label: st.SearchStrategy[int]) -> st.SearchStrategy[Click]:
    inside = st.integers(10, 34)
    return st.tuples(st.tuples(inside, inside, st.integers(0, SLICES - 1)), label)


SOME_CLICKS = st.tuples(clicks(st.just(1)), st.lists(clicks(st.integers(0, 1)), min_size=1, max_size=3)).map(
    lambda drawn: [drawn[0], *drawn[1]]
)


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


@pytest.fixture(scope="module")
def volume(small_phantom: Phantom) -> CTVolume:
    return CTVolume(small_phantom.volume.hu[:SIDE, :SIDE, :SLICES].copy(), small_phantom.volume.affine, "short")


def mask(engine: Engine, volume: CTVolume, given: list[Click], *, box: bool) -> np.ndarray:
    points = tuple(tuple(float(p) for p in point) for point, _ in given)
    prompt = ObjectPrompt(
        points_ijk=points, point_labels=tuple(label for _, label in given), box_ijk=BOX if box else None, name="object"
    )
    return segment(engine, volume, [prompt]).label_map


@given(SOME_CLICKS, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_removing_a_click_gives_the_mask_before_it(
    engine: Engine, volume: CTVolume, given: list[Click], box: bool, random: object
) -> None:
    before = mask(engine, volume, given[:-1], box=box)
    after = mask(engine, volume, given, box=box)
    np.testing.assert_array_equal(mask(engine, volume, given[:-1], box=box), before)
    shuffled = list(given)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(mask(engine, volume, shuffled, box=box), after)
