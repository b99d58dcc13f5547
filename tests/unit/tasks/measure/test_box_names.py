"""A box around a structure that the model knows is recognised as that structure; any other box is not."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.structures.table import Window
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.measure import box_names
from medvlsam2.tasks.measure.box_names import structure_in_box
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.transforms.spatial import SpatialRecord
from medvlsam2.voxel_box import BoxIJK

SIDE, DEPTH = 32, 20
RECORD = SpatialRecord(
    source_shape_ijk=(SIDE, SIDE, DEPTH),
    source_affine=np.eye(4),
    axes=(2, 1, 0),
    flips=(False, False, False),
    crop_hw=(0, SIDE, 0, SIDE),
    side=SIDE,
)
BOX: BoxIJK = (8, 16, 10, 22, 5, 15)
"""i is the column, j the row, k the slice."""


def block(box: BoxIJK) -> torch.Tensor:
    i0, i1, j0, j1, k0, k1 = box
    mask = torch.zeros(DEPTH, SIDE, SIDE, dtype=torch.bool)
    mask[k0:k1, j0:j1, i0:i1] = True
    return mask


class WholeScan(View):
    """A view whose features of a slice are its number."""

    def __init__(self) -> None:
        """Of nothing."""

    record: Any = RECORD
    sam2: Any = SimpleNamespace(mask_size=SIDE)

    def features(self, window: Window) -> Any:
        return SimpleNamespace(select=lambda numbers: numbers)


def recognised(monkeypatch: pytest.MonkeyPatch, masks: dict[str, torch.Tensor], box: BoxIJK = BOX) -> str | None:
    """Return the structure that a box is recognised as, given quick masks."""
    keys = list(masks)

    def quick_masks(_: Any, tokens: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        found = torch.stack([masks[keys[int(token)]] for token in tokens[:, 0]], dim=1)
        return 2.0 * found[part] - 1

    monkeypatch.setattr(box_names, "sure_masks", quick_masks)
    tokens = {key: torch.tensor([float(number)]) for number, key in enumerate(keys)}
    return structure_in_box(TextSimilarity(8), tokens, WholeScan(), box, nullcontext)


def test_the_structure_that_fills_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = {
        "spleen": block((9, 15, 11, 21, 6, 14)),
        "kidney_left": block((8, 12, 10, 16, 5, 15)),
        "aorta": block((8, 16, 10, 22, 0, 20)),
        "mandible": block((20, 28, 10, 22, 5, 15)),
    }
    assert recognised(monkeypatch, masks) == "spleen"


@pytest.mark.parametrize(
    ("what", "mask"),
    [
        ("an organ round the boxed lesion", block((2, 30, 4, 30, 5, 15))),
        ("the organ on the other side", block((17, 25, 10, 22, 5, 15))),
        ("one on few of its slices", block((8, 16, 10, 22, 5, 9))),
        ("one in a corner of it", block((8, 12, 10, 15, 5, 15))),
        ("nothing", torch.zeros(DEPTH, SIDE, SIDE, dtype=torch.bool)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_boxes_that_fit_no_structure_are_not_recognised(
    monkeypatch: pytest.MonkeyPatch, what: str, mask: torch.Tensor
) -> None:
    assert recognised(monkeypatch, {"liver": mask}) is None, what


def test_a_thin_structure_is_no_pixel_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    cord = block((14, 17, 15, 18, 2, 18))
    assert recognised(monkeypatch, {"spinal_cord": cord}, (14, 16, 15, 17, 2, 18)) == "spinal_cord"


def test_a_box_of_one_slice_at_the_end_of_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recognised(monkeypatch, {"liver": block((8, 16, 10, 22, 19, 20))}, (8, 16, 10, 22, 19, 20)) == "liver"


@pytest.fixture
def volume(small_phantom: Phantom) -> CTVolume:
    return small_phantom.volume


@pytest.fixture
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


def test_a_recognised_box_is_as_if_its_name_were_given(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, volume: CTVolume
) -> None:
    box: BoxIJK = (10, 40, 12, 42, 4, 12)
    by_name = segment(engine, volume, [ObjectPrompt("liver", box_ijk=box)])
    alone = segment(engine, volume, [ObjectPrompt(box_ijk=box)])
    assert (by_name.label_map != alone.label_map).any(), "or this test shows nothing"
    assert alone.objects[0].recognised_as is None
    monkeypatch.setattr(VolumeSession, "structure_in_box", lambda *_: "liver")
    (found,) = (taken := segment(engine, volume, [ObjectPrompt(box_ijk=box, name="Segment_3")])).objects
    np.testing.assert_array_equal(taken.label_map, by_name.label_map)
    assert (found.name, found.recognised_as) == ("Segment_3", "liver")


def test_words_are_believed(monkeypatch: pytest.MonkeyPatch, engine: Engine, volume: CTVolume) -> None:
    """A box around the named structure does not change the name."""
    monkeypatch.setattr(VolumeSession, "structure_in_box", lambda *_: "spleen")
    answer = segment(engine, volume, [ObjectPrompt("spleen", box_ijk=(10, 40, 12, 42, 4, 12))])
    assert answer.objects[0].recognised_as is None
    assert not [note for note in answer.warnings if "disagree" in note]
