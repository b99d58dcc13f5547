"""A mask does not depend on other objects, caches, a restart, the order of clicks, or a mirrored scan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.device.precision import full_precision
from medvlsam2.model.pixel_decoder.volume_sam2 import VolumeSAM2
from medvlsam2.model.propagation import batch
from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery, SlicePrompt
from medvlsam2.model.propagation.propagate import segment_objects
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.features.feature_store import KEPT_STORES
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

CLICKS = ((30.0, 30.0, 8.0), (24.0, 28.0, 8.0), (28.0, 33.0, 5.0), (22.0, 24.0, 10.0))
LABELS = (1, 0, 1, 1)
BOX = (12, 44, 14, 46, 3, 13)
SLICES = 14


def clicked(order: tuple[int, ...] = (0, 1, 2, 3), *, box: bool = False) -> ObjectPrompt:
    """Segment with the clicks in a given order, alone or with a box."""
    return ObjectPrompt(
        points_ijk=tuple(CLICKS[n] for n in order),
        point_labels=tuple(LABELS[n] for n in order),
        box_ijk=BOX if box else None,
        name="object",
    )


def mask(engine: Engine, volume: CTVolume, *prompts: ObjectPrompt) -> np.ndarray:
    found = segment(engine, volume, list(prompts)).label_map
    assert found.any(), "or nothing is compared"
    return found


def in_floats(session: VolumeSession) -> VolumeSAM2:
    """The pixel decoder as it is without half precision, whose last bit differs in a batch."""
    return session.loaded.model.sam2.float()


@pytest.fixture
def volume(small_phantom: Phantom) -> CTVolume:
    """A few slices, since every test here goes through all of them several times."""
    return CTVolume(small_phantom.volume.hu[:, :, :SLICES].copy(), small_phantom.volume.affine, "short")


@pytest.fixture
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 0, 3, 2)])
def test_clicks_in_any_order_give_the_same_mask(
    engine: Engine, volume: CTVolume, order: tuple[int, ...], box: bool
) -> None:
    expected = mask(engine, volume, clicked(box=box))
    np.testing.assert_array_equal(mask(engine, volume, clicked(order, box=box)), expected)


@pytest.mark.parametrize("box", [False, True])
def test_a_restart_gives_the_same_mask(tiny_model_dir: Path, volume: CTVolume, box: bool) -> None:
    """A server that saw other clicks and scans before, and one that starts with this request."""
    old = Engine(tiny_model_dir)
    other = CTVolume(volume.hu[:, :, ::-1].copy(), volume.affine, "other")
    for scan in (volume, other):
        mask(old, scan, clicked((0,), box=box))
        mask(old, scan, clicked((0, 3), box=box), ObjectPrompt("liver"))
    again = mask(old, volume, clicked(box=box))
    np.testing.assert_array_equal(again, mask(Engine(tiny_model_dir), volume, clicked(box=box)))


@pytest.mark.parametrize("half", [True, False])
def test_the_first_user_of_features_does_not_change_a_mask(
    tiny_model_dir: Path, volume: CTVolume, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Propagation in half precision, where there is any, or the correction round clicks in full."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": half})
    found = []
    for within in (Engine.lease, lambda engine: full_precision(torch.device(engine.device))):
        engine = Engine(tiny_model_dir)
        session = engine.session(volume)
        with within(engine):
            found.append(session.features("soft").select(torch.arange(3)).levels)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_dropped_session_gives_the_same_mask(engine: Engine, volume: CTVolume) -> None:
    first = mask(engine, volume, clicked(), ObjectPrompt("liver"))
    for number in range(KEPT_STORES):
        other = CTVolume(volume.hu[:, :, number % 8 : number % 8 + 3] + number, np.eye(4), "other")
        segment(engine, other, [ObjectPrompt(points_ijk=((20.0, 20.0, 1.0),), point_labels=(1,))])
    assert volume.content_hash not in engine._sessions
    np.testing.assert_array_equal(mask(engine, volume, clicked(), ObjectPrompt("liver")), first)


@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_other_requested_objects_do_not_change_a_mask(
    engine: Engine, volume: CTVolume, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object alone gives the logits that it has among others; the label map alone lets them compete."""
    session = engine.session(volume)
    sam2, features = in_floats(session), session.features("soft")
    monkeypatch.setattr(batch, "CPU_SCORES", at_once * sam2.num_maskmem * sam2.sam_image_embedding_size**4)
    token = session.text_tokens(["liver"])[0]
    queries = [
        ObjectQuery(prompts={8: SlicePrompt(((30.0, 30.0),), (1,))}),
        ObjectQuery(prompts={5: SlicePrompt(((20.0, 24.0),), (1,))}),
        ObjectQuery(prompts={7: SlicePrompt(((26.0, 36.0),), (1,))}, last_slice=9),
        ObjectQuery(text_token=token, prompts={6: SlicePrompt(((34.0, 24.0),), (1,))}),
    ]
    together = segment_objects(sam2, features, queries)
    for query, among_others in zip(queries, together, strict=True):
        (alone,) = segment_objects(sam2, features, [query])
        torch.testing.assert_close(alone.mask_logits, among_others.mask_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("at_once", [1, 3, 16])
def test_objects_in_another_part_do_not_change_a_mask(
    engine: Engine, volume: CTVolume, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.session(volume)
    sam2 = in_floats(session)
    monkeypatch.setattr(batch, "CPU_SCORES", at_once * sam2.num_maskmem * sam2.sam_image_embedding_size**4)
    (rows, columns) = session.prepared.record.crop_hw[:2], session.prepared.record.crop_hw[2:]
    parts = [session.near((rows[0], rows[1] - n, columns[0], columns[1] - n)).features("soft") for n in (8, 16)]
    sources = [session.features("soft"), *parts, parts[0]]
    queries = [ObjectQuery(prompts={n: SlicePrompt(((30.0, 28.0),), (1,))}) for n in (8, 5, 7, 3)]
    together = segment_objects(sam2, sources, queries)
    for source, query, among_others in zip(sources, queries, together, strict=True):
        (alone,) = segment_objects(sam2, source, [query])
        assert propagated(alone) > 1
        torch.testing.assert_close(alone.mask_logits, among_others.mask_logits, atol=1e-4, rtol=1e-4)


def test_every_prompted_slice_is_shown_before_propagation_begins(
    engine: Engine, volume: CTVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.session(volume)
    sam2, features = in_floats(session), session.features("soft")
    monkeypatch.setattr(batch, "CPU_SCORES", 1)
    queries = [ObjectQuery(prompts={number: SlicePrompt(((30.0, 30.0),), (1,))}) for number in (8, 5, 3)]
    told: list[tuple[int, int]] = []
    segment_objects(sam2, features, queries, shown=lambda query, number, _: told.append((query, number)))
    assert told[:3] == [(0, 8), (1, 5), (2, 3)]
    one_by_one = [query for query, _ in told[3:]]
    assert one_by_one == sorted(one_by_one)
    assert set(one_by_one) == {0, 1, 2}


ON_TWO_SLICES = {4: SlicePrompt(((30.0, 30.0),), (1,)), 9: SlicePrompt(((28.0, 26.0), (10.0, 12.0)), (1, 0))}


ON_ONE_SLICE = {4: ON_TWO_SLICES[4]}
BESIDE = {7: SlicePrompt(((12.0, 10.0),), (0,))}


@pytest.mark.parametrize(
    ("prompts", "corrections"),
    [(ON_TWO_SLICES, {}), (ON_ONE_SLICE, {}), (ON_ONE_SLICE, BESIDE), (ON_TWO_SLICES, BESIDE)],
    ids=["two slices", "one slice", "one, and a click beside on another", "two, and a click beside between them"],
)
def test_an_upside_down_scan_gives_the_same_mask(
    engine: Engine, volume: CTVolume, prompts: dict[int, SlicePrompt], corrections: dict[int, SlicePrompt]
) -> None:
    """Features in the reverse order, prompts with them: propagation knows no direction."""
    session = engine.session(volume)
    sam2, depth = in_floats(session), session.num_slices
    features = session.features("soft").select(torch.arange(depth))
    turned = features.select(torch.arange(depth - 1, -1, -1))
    query = ObjectQuery(
        prompts=prompts,
        corrections=corrections,
        first_slice=1,
        last_slice=depth - 2,
        box_xyxy=(4.0, 4.0, 52.0, 50.0),
    )
    mirrored = replace(
        query,
        prompts={depth - 1 - d: prompt for d, prompt in prompts.items()},
        corrections={depth - 1 - d: prompt for d, prompt in corrections.items()},
        first_slice=depth - 1 - (depth - 2),
        last_slice=depth - 1 - 1,
    )
    (up,), (down,) = segment_objects(sam2, features, [query]), segment_objects(sam2, turned, [mirrored])
    assert propagated(up) > 4
    torch.testing.assert_close(up.mask_logits, down.mask_logits.flip(0), atol=1e-3, rtol=1e-3)


def propagated(masks: ObjectMasks) -> int:
    return int((masks.mask_logits > -9).flatten(1).any(dim=1).sum())
