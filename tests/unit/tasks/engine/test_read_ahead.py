"""The rest of a scan is encoded in the background, within the memory budget; clicks have priority."""

from __future__ import annotations

import gc
import time
import weakref
from pathlib import Path

import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.features.feature_store import ENCODE_BATCH, FeatureStore
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

WAIT_S = 60
CORNER = ObjectPrompt(box_ijk=(12, 20, 14, 22, 1, 2))
"""A box on one slice, so that the request itself needs few."""


def until(done: object) -> bool:
    """Wait until a callable is true."""
    assert callable(done)
    end_s = time.monotonic() + WAIT_S
    while not done() and time.monotonic() < end_s:
        time.sleep(0.01)
    return bool(done())


def whole_store(engine: Engine, phantom: Phantom) -> FeatureStore:
    return engine.session(phantom.volume).features("soft")


def test_all_slices_are_encoded_soon(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    engine = Engine(tiny_model_dir, reads_ahead=True)
    store = whole_store(engine, small_phantom)
    store.select(torch.tensor([8]))
    assert engine.read_ahead is not None
    engine.read_ahead.want(store)
    assert until(lambda: store.known_slices == set(range(len(store))))
    made = store.memory_bytes
    store.select(torch.arange(len(store)))
    assert store.memory_bytes == made


def test_nothing_is_made_that_memory_has_no_room_for(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    engine = Engine(tiny_model_dir, cache_bytes=1, reads_ahead=True)
    store = whole_store(engine, small_phantom)
    store.select(torch.tensor([3]))
    assert not store.make_more()
    assert store.known_slices == {3}


def test_a_store_nobody_used_stays_empty(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    assert not whole_store(Engine(tiny_model_dir), small_phantom).make_more()


def test_the_nearest_slices_come_first(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    store = whole_store(Engine(tiny_model_dir), small_phantom)
    store.select(torch.tensor([1]))
    assert store.make_more()
    assert store.known_slices == set(range(ENCODE_BATCH + 1))


def test_nothing_is_made_while_a_request_is_on_its_way(
    tiny_model_dir: Path, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the steps of a request the device is free, and still the background work does not take it."""
    engine = Engine(tiny_model_dir, reads_ahead=True)
    store = whole_store(engine, small_phantom)
    store.select(torch.tensor([0]))
    batches: list[int] = []

    def make_more() -> bool:
        batches.append(1)
        return len(batches) < 5

    monkeypatch.setattr(store, "make_more", make_more)
    assert engine.read_ahead is not None
    with engine.requests.one():
        engine.read_ahead.want(store)
        time.sleep(0.1)
        with engine.lease():
            assert batches == []
        time.sleep(0.1)
        assert batches == []
    assert until(lambda: len(batches) == 5)


def test_a_closed_scan_is_released(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    """Features are kept after their session; the scan and the model are not."""
    engine = Engine(tiny_model_dir, reads_ahead=True)
    volume = CTVolume(small_phantom.volume.hu.copy(), small_phantom.volume.affine, "closed")
    segment(engine, volume, [CORNER])
    (near,) = engine.session(volume)._near.values()
    store, scan = near.features("soft"), weakref.ref(volume)
    del near
    assert until(lambda: len(store.known_slices) == len(store))
    engine._sessions.clear()
    del volume
    gc.collect()
    assert scan() is None
    store.select(torch.tensor([2]))
    store.forget()
    with pytest.raises(ReferenceError):
        store.select(torch.tensor([2]))
