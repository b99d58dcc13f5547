"""A whole and its parts in one label map: the parts keep every voxel, the whole is their union."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.overlap import dice
from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import Segmentation, segment


def ask(engine: Engine, phantom: Phantom, *names: str) -> Segmentation:
    return segment(engine, phantom.volume, [ObjectPrompt(name) for name in names])


def test_a_whole_takes_nothing_from_its_parts(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    """Once "kidneys" took 2,175 voxels from "right kidney" in one label map."""
    parts = ask(nano, small_phantom, "liver", "left kidney", "right kidney")
    both = ask(nano, small_phantom, "liver", "left kidney", "right kidney", "kidneys")
    np.testing.assert_array_equal(both.label_map, parts.label_map)
    assert both.objects[:3] == parts.objects
    kidneys = both.objects[3]
    assert (kidneys.present, kidneys.values) == (True, (2, 3))
    assert kidneys.volume_ml == pytest.approx(both.objects[1].volume_ml + both.objects[2].volume_ml)
    found = np.isin(both.label_map, kidneys.values)
    assert dice(found, truth["kidney_left"] | truth["kidney_right"]) > 0.85
    assert "'kidneys' is the union with 'left kidney', 'right kidney'" in both.warnings[-1]


@pytest.mark.parametrize("names", [("kidneys", "right kidney"), ("right kidney", "kidneys")])
def test_a_whole_with_one_requested_part_gets_the_remaining_voxels(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], names: tuple[str, str]
) -> None:
    alone = ask(nano, small_phantom, "right kidney").label_map == 1
    found = ask(nano, small_phantom, *names)
    part, whole = names.index("right kidney"), names.index("kidneys")
    np.testing.assert_array_equal(found.label_map == part + 1, alone)
    assert set(found.objects[whole].values) == {1, 2}
    assert found.objects[whole].values[0] == whole + 1
    rest = found.label_map == whole + 1
    assert (rest & truth["kidney_left"]).sum() > 0.7 * truth["kidney_left"].sum()


def test_a_whole_without_parts_is_segmented_as_usual(nano: Engine, small_phantom: Phantom) -> None:
    found = ask(nano, small_phantom, "kidneys")
    assert (found.objects[0].values, found.warnings) == ((1,), ())
    assert found.objects[0].volume_ml > 150
