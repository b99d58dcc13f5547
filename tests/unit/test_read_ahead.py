"""The rest of a scan is encoded in the background, within memory, and whoever clicks comes first."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.engine import Engine
from medvlsam2.tasks.feature_store import ENCODE_BATCH, FeatureStore
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


def test_all_slices_are_there_soon(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    engine = Engine(tiny_model_dir, reads_ahead=True)
    store = whole_store(engine, small_phantom)
    segment(engine, small_phantom.volume, [ObjectPrompt("liver", points_ijk=((30.0, 30.0, 8.0),), point_labels=(1,))])
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


def test_a_click_comes_between(tiny_model_dir: Path, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    """While slices are read ahead, who asks for a turn has it after the batch that runs."""
    engine = Engine(tiny_model_dir, reads_ahead=True)
    store = whole_store(engine, small_phantom)
    store.select(torch.tensor([0]))
    batches: list[int] = []
    asked, running = threading.Event(), threading.Event()

    def make_more() -> bool:
        running.set()
        assert asked.wait(WAIT_S)
        batches.append(1)
        return len(batches) < 50

    monkeypatch.setattr(store, "make_more", make_more)
    assert engine.read_ahead is not None
    engine.read_ahead.want(store)
    assert running.wait(WAIT_S)
    threading.Timer(0.05, asked.set).start()
    with engine.turn():
        assert len(batches) <= 2
    assert until(lambda: len(batches) == 50)
