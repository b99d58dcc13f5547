"""A side in words is binding: no voxel of the answer lies on the other side of the body."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment


def x_mm(mask: np.ndarray, volume: CTVolume) -> np.ndarray:
    """How far to the patient's right each voxel of a mask lies."""
    return (np.argwhere(mask) @ volume.affine[:3, :3].T + volume.affine[:3, 3])[:, 0]


@pytest.mark.parametrize(("side", "sign"), [("left", -1), ("right", 1)])
def test_a_finding_stays_on_its_side(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], side: str, sign: int
) -> None:
    """Of "left renal cyst" 77 % lay in the right kidney; here 87 % of "right renal cyst" lay on the left."""
    volume = small_phantom.volume
    kidneys = [x_mm(truth[f"kidney_{one}"], volume).mean() for one in ("left", "right")]
    assert kidneys[0] < kidneys[1]
    found = segment(nano, volume, [ObjectPrompt(f"{side} renal cyst")])
    places = x_mm(found.label_map == 1, volume)
    assert (sign * (places - np.mean(kidneys)) > -6).all(), "one voxel is 6 mm wide"
    assert not found.objects[0].present or len(places)
    assert any(f"elsewhere than the {side} kidney" in note for note in found.warnings)


def test_a_structure_that_lies_on_its_side_is_not_touched(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    both = segment(nano, small_phantom.volume, [ObjectPrompt("left kidney"), ObjectPrompt("right kidney")])
    for number, side in ((1, "left"), (2, "right")):
        alone = segment(nano, small_phantom.volume, [ObjectPrompt(f"{side} kidney")])
        assert alone.warnings == ()
        np.testing.assert_array_equal(alone.label_map == 1, both.label_map == number)
        assert (both.label_map == number)[truth[f"kidney_{side}"]].mean() > 0.7
