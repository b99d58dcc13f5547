"""The clicked slice comes first, a newer click wins, and no annotator waits for another annotator's volume."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import Superseded
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceMasks, VolumeSAM2
from medvlsam2.model.propagation import batch
from medvlsam2.model.propagation.batch import PATIENCE_SLICES
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.masks import parts
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

WAIT_S = 60


@pytest.fixture
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


def click(phantom: Phantom, key: str = "liver") -> ObjectPrompt:
    """A click in the middle of an organ; a box keeps propagation from ending early."""
    value = next(value for value, name in phantom.labels.items() if name == key)
    voxels = np.argwhere(phantom.label_map == value)
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    inside = voxels[np.argmin(np.linalg.norm(voxels - voxels.mean(axis=0), axis=1))]
    i, j, k = (float(p) for p in inside)
    box = tuple(int(edge) for pair in zip(low, high, strict=True) for edge in pair)
    return ObjectPrompt(points_ijk=((i, j, k),), point_labels=(1,), box_ijk=box, name=key)


def test_the_clicked_slice_is_shown_first(engine: Engine, small_phantom: Phantom) -> None:
    shown: list[tuple[int, int]] = []
    prompt = ObjectPrompt(points_ijk=click(small_phantom).points_ijk, point_labels=(1,), name="liver")
    segment(engine, small_phantom.volume, [prompt], shown=lambda *slice_of: shown.append(slice_of))
    assert shown[0] == (0, int(prompt.points_ijk[0][2]))
    assert len(shown) == len(set(shown)) > 3


def test_propagation_ends_where_the_object_does(
    engine: Engine, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Propagation ends a few slices after the object's last slice, in both directions; a smaller gap is crossed."""
    point = click(small_phantom).points_ijk[0]
    clicked, seen = int(point[2]), []
    predict, held = VolumeSAM2.predict, {clicked, clicked + 1, clicked + 1 + PATIENCE_SLICES}

    def without_object(self: VolumeSAM2, *given: Any, **more: Any) -> SliceMasks:
        masks, number = predict(self, *given, **more), path[len(seen)]
        return replace(
            masks, object_score_logits=torch.full_like(masks.object_score_logits, 1 if number in held else -1)
        )

    path = [clicked, *(clicked + n for n in range(1, 2 * PATIENCE_SLICES + 2)), *(clicked - n for n in range(1, 99))]
    monkeypatch.setattr(batch, "CPU_SCORES", 1)
    monkeypatch.setattr(parts, "SMALL_PX", 0)
    monkeypatch.setattr(VolumeSAM2, "predict", without_object)
    prompt = ObjectPrompt(points_ijk=(point,), point_labels=(1,), name="liver")
    segment(engine, small_phantom.volume, [prompt], shown=lambda _, number: seen.append(number))
    assert seen == path[: 1 + (2 * PATIENCE_SLICES + 1) + PATIENCE_SLICES]


def test_a_newer_request_for_the_object_replaces_the_older(engine: Engine, small_phantom: Phantom) -> None:
    first_slice, replaced = threading.Event(), threading.Event()
    outcome: list[object] = []

    def pause(_: int, __: int) -> None:
        first_slice.set()
        assert replaced.wait(WAIT_S)

    def older() -> None:
        try:
            outcome.append(segment(engine, small_phantom.volume, [click(small_phantom)], shown=pause, owner="ann"))
        except Superseded as error:
            outcome.append(error)

    worker = threading.Thread(target=older)
    worker.start()
    assert first_slice.wait(WAIT_S)
    newer = segment(engine, small_phantom.volume, [click(small_phantom)], owner="ann", shown=lambda *_: replaced.set())
    worker.join(WAIT_S)
    assert isinstance(outcome[0], Superseded)
    assert len(newer.objects) == 1


def test_another_object_or_another_annotator_replaces_nothing(engine: Engine, small_phantom: Phantom) -> None:
    inside, go_on = threading.Event(), threading.Event()
    outcome: list[object] = []

    def pause(_: int, __: int) -> None:
        inside.set()
        assert go_on.wait(WAIT_S)

    def first() -> None:
        outcome.append(segment(engine, small_phantom.volume, [click(small_phantom)], shown=pause, owner="ann"))

    worker = threading.Thread(target=first)
    worker.start()
    assert inside.wait(WAIT_S)
    alone = segment(engine, small_phantom.volume, [click(small_phantom)], owner="bob")
    segment(engine, small_phantom.volume, [click(small_phantom, "aorta")], owner="ann")
    go_on.set()
    worker.join(WAIT_S)
    np.testing.assert_array_equal(outcome[0].label_map, alone.label_map)


def test_a_second_annotator_is_answered_while_the_first_volume_runs(engine: Engine, small_phantom: Phantom) -> None:
    """Both take turns: the second click's slice is there before the first volume is done."""
    order: list[str] = []
    begun, over = threading.Event(), threading.Event()

    def first() -> None:
        def tell(_: int, __: int) -> None:
            order.append("first")
            begun.set()

        segment(engine, small_phantom.volume, [click(small_phantom)], shown=tell, owner="ann")
        order.append("first done")
        over.set()

    worker = threading.Thread(target=first)
    worker.start()
    assert begun.wait(WAIT_S)
    segment(
        engine,
        small_phantom.volume,
        [click(small_phantom, "aorta")],
        shown=lambda *_: order.append("second"),
        owner="bob",
    )
    worker.join(WAIT_S)
    assert over.is_set()
    assert order.index("second") < order.index("first done")


def test_a_mask_does_not_depend_on_what_was_cached(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    prompts = [click(small_phantom)]
    fresh = segment(Engine(tiny_model_dir), small_phantom.volume, prompts)
    engine = Engine(tiny_model_dir, cache_bytes=0)
    segment(engine, small_phantom.volume, [click(small_phantom, "aorta")])
    spilled = segment(engine, small_phantom.volume, prompts)
    again = segment(engine, small_phantom.volume, prompts)
    np.testing.assert_array_equal(fresh.label_map, spilled.label_map)
    np.testing.assert_array_equal(spilled.label_map, again.label_map)


def test_a_corrected_slice_stays_and_guides_its_neighbours(engine: Engine, small_phantom: Phantom) -> None:
    value = next(value for value, name in small_phantom.labels.items() if name == "liver")
    truth = small_phantom.label_map == value
    middle = int(np.flatnonzero(truth.any(axis=(0, 1))).mean())
    result = segment(engine, small_phantom.volume, [ObjectPrompt(mask=truth, mask_slices=(middle,), name="liver")])
    np.testing.assert_array_equal(result.label_map[:, :, middle] == 1, truth[:, :, middle])
    assert result.objects[0].slice_to_fix != middle
    clicked = ObjectPrompt(
        mask=truth,
        mask_slices=(middle, middle + 2),
        points_ijk=((*np.argwhere(truth[:, :, middle])[0].astype(float), float(middle)),),
        point_labels=(1,),
    )
    again = segment(engine, small_phantom.volume, [clicked]).label_map
    np.testing.assert_array_equal(again[:, :, middle + 2] == 1, truth[:, :, middle + 2])
    assert not np.array_equal(again[:, :, middle] == 1, truth[:, :, middle]), "a click asks for another mask there"


def test_undoing_a_click_gives_the_mask_of_before(engine: Engine, small_phantom: Phantom) -> None:
    first = click(small_phantom)
    i, j, k = first.points_ijk[0]
    second = ObjectPrompt(
        points_ijk=((i, j, k), (i + 2, j + 2, k)), point_labels=(1, 0), box_ijk=first.box_ijk, name=first.name
    )
    before = segment(engine, small_phantom.volume, [first]).label_map
    segment(engine, small_phantom.volume, [second])
    np.testing.assert_array_equal(segment(engine, small_phantom.volume, [first]).label_map, before)


def test_scribbles_stand_for_clicks(engine: Engine, small_phantom: Phantom) -> None:
    value = next(value for value, name in small_phantom.labels.items() if name == "liver")
    truth = small_phantom.label_map == value
    middle = int(np.flatnonzero(truth.any(axis=(0, 1))).mean())
    scribbles = np.zeros(truth.shape, dtype=np.uint8)
    scribbles[:, :, middle][truth[:, :, middle]] = 1
    shown: list[int] = []
    segment(engine, small_phantom.volume, [ObjectPrompt(scribbles=scribbles)], shown=lambda _, k: shown.append(k))
    assert shown[0] == middle
