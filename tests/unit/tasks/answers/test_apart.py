"""A click and a box that are apart are refused before the model runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

BOX = (10, 20, 10, 20, 4, 8)
NO_MODEL = Engine(Path("no-such-model"))
"""It would raise MissingCheckpoint if it were used."""


@pytest.mark.parametrize("place", [(30.0, 15.0, 5.0), (15.0, 9.0, 5.0), (20.0, 15.0, 5.0), (15.0, 15.0, 20.0)])
@pytest.mark.parametrize("text", [None, "liver"])
def test_a_click_outside_its_box_is_refused(
    small_phantom: Phantom, place: tuple[float, float, float], text: str | None
) -> None:
    """The mask lay in the box, and the click was not in it."""
    prompt = ObjectPrompt(text=text, points_ijk=((15.0, 15.0, 5.0), place), point_labels=(1, 1), box_ijk=BOX)
    with pytest.raises(InvalidPrompt) as refused:
        segment(NO_MODEL, small_phantom.volume, [prompt])
    assert f"Click 2 on '{prompt.display_name}' at voxel {place}" in str(refused.value)
    assert str(BOX) in str(refused.value)


def test_strokes_and_a_mask_wholly_outside_a_box_are_refused(small_phantom: Phantom) -> None:
    drawn = np.zeros(small_phantom.volume.shape_ijk, dtype=np.uint8)
    drawn[25:28, 25:28, 5] = 1
    for prompt in (ObjectPrompt(scribbles=drawn, box_ijk=BOX), ObjectPrompt(mask=drawn > 0, box_ijk=BOX)):
        with pytest.raises(InvalidPrompt, match="outside its box"):
            segment(NO_MODEL, small_phantom.volume, [prompt])


def test_a_click_on_the_next_slices_makes_the_object_longer(nano: Engine, small_phantom: Phantom) -> None:
    above, beside = (15.0, 15.0, 9.0), (30.0, 30.0, 5.0)
    prompt = ObjectPrompt(points_ijk=(above, beside), point_labels=(1, 0), box_ijk=BOX)
    assert segment(nano, small_phantom.volume, [prompt]).label_map[15, 15, 9] == 1
