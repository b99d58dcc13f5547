"""The engine loads nothing before the first request, and answers with the current version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidConfig, MissingCheckpoint
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.tasks.engine import engine as engines
from medvlsam2.tasks.engine.engine import Engine


def test_the_constructor_loads_nothing(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "nowhere")
    assert (engine.model_id, engine.version, engine.device) == ("nowhere", "base", "cpu")
    with pytest.raises(MissingCheckpoint, match="nowhere"):
        engine.loaded()


@pytest.mark.parametrize(("given", "budget"), [(None, 2 * 10**9), (0, 0), (7, 7)])
def test_slice_features_may_take_what_is_given_or_a_quarter_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int | None, budget: int
) -> None:
    monkeypatch.setattr(engines, "machine_memory_bytes", lambda: 8 * 10**9)
    assert Engine(tmp_path, cache_bytes=given).features.budget_bytes == budget


def test_the_model_is_read_once(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    load = checkpoint.load
    monkeypatch.setattr(engines.checkpoint, "load", lambda *given: read.append(given) or load(*given))
    engine = Engine(model_dir)
    assert read == []
    assert engine.loaded() is engine.loaded()
    assert len(read) == 1


def test_a_new_current_version_is_read_and_old_sessions_are_dropped(model_dir: Path, small_phantom: Phantom) -> None:
    engine = Engine(model_dir)
    session = engine.session(small_phantom.volume)
    assert engine.session(small_phantom.volume) is session
    checkpoint.publish(model_dir, "v0001", {"seg_projector.2.bias": torch.ones(32)}, {}, use=True)
    assert engine.version == "v0001"
    assert engine.loaded().version == "v0001"
    assert (engine.loaded().model.seg_projector[2].bias == 1).all()
    assert engine.session(small_phantom.volume) is not session
    version_folders.set_current(model_dir, "base")
    assert engine.loaded().version == "base"


def test_sessions_are_kept_by_content_the_last_ones_only(tiny_model_dir: Path) -> None:
    engine = Engine(tiny_model_dir)
    kept = engines.KEPT_SESSIONS
    scans = [CTVolume(np.full((6, 6, 6), n, dtype=np.int16), np.eye(4), "same name") for n in range(kept + 1)]
    first = engine.session(scans[0])
    assert engine.session(CTVolume(scans[0].hu.copy(), np.eye(4), "other name")) is first
    second = engine.session(scans[1])
    engine.session(scans[0])
    for scan in scans[2:]:
        engine.session(scan)
    assert len(engine._sessions) == kept
    assert engine.session(scans[0]) is first
    assert engine.session(scans[1]) is not second


def known_slices(engine: Engine, phantom: Phantom) -> set[int]:
    return engine.session(phantom.volume).features("soft").known_slices


def test_features_outlive_a_version_with_the_same_encoder(model_dir: Path, small_phantom: Phantom) -> None:
    engine = Engine(model_dir)
    engine.session(small_phantom.volume).features("soft").select(torch.tensor([3, 4]))
    seen = known_slices(engine, small_phantom)
    assert {3, 4} <= seen
    checkpoint.publish(model_dir, "v0001", {"seg_projector.2.bias": torch.ones(32)}, {}, use=True)
    assert known_slices(engine, small_phantom) == seen
    name, weight = next((n, p) for n, p in engine.loaded().model.state_dict().items() if "sam2.image_encoder" in n)
    checkpoint.publish(model_dir, "v0002", {name: weight + 1}, {}, use=True)
    assert known_slices(engine, small_phantom) == set()


@pytest.mark.parametrize("device", ["gpu", "mps", ""])
def test_an_unknown_device_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(InvalidConfig, match=f"'{device}' given; allowed are cpu, cuda"):
        Engine(tmp_path, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine has a GPU.")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="'cuda:1' given, but this machine has no usable GPU"):
        Engine(tmp_path, "cuda:1")
    assert Engine(tmp_path, "auto").device == "cpu"
