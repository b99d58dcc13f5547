"""Doubt is 0 if the model is sure, 1 if it is not, and depends on the scan."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.uncertainty import uncertainty


def doubt(model_dir: Path, small_phantom: Phantom, score: float) -> float:
    """Doubt of a model whose object score is ``score`` everywhere: the words' similarity to pixels has no vote."""
    state = checkpoint.load(model_dir).model.state_dict()
    silent = {key: torch.zeros_like(value) for key, value in state.items() if "text_similarity" in key}
    name = "sam2.sam_mask_decoder.pred_obj_score_head.layers.2"
    tensors = {f"{name}.bias": torch.tensor([score]), f"{name}.weight": torch.zeros(1, 32)}
    version = f"v{len(version_folders.versions(model_dir)):04d}"
    checkpoint.publish(model_dir, version, {**silent, **tensors}, {}, use=True)
    return uncertainty(Engine(model_dir), small_phantom.volume)


def test_doubt_lies_between_sure_and_unsure(model_dir: Path, small_phantom: Phantom) -> None:
    found = uncertainty(Engine(model_dir), small_phantom.volume)
    assert 0 <= found <= 1
    assert uncertainty(Engine(model_dir), small_phantom.volume) == found
    assert doubt(model_dir, small_phantom, -12.0) < 0.001
    assert doubt(model_dir, small_phantom, -0.01) == pytest.approx(0.5, abs=0.01)


def test_a_present_object_is_as_sure_as_its_mask(model_dir: Path, small_phantom: Phantom) -> None:
    """The predicted IoU of a random model is near one half, and the object score is certain."""
    assert 0.3 < doubt(model_dir, small_phantom, 12.0) < 0.7


def test_a_model_that_names_no_structure(model_dir: Path, small_phantom: Phantom) -> None:
    (model_dir / version_folders.METADATA).write_text('{"structures": []}', encoding="utf-8")
    assert 0 <= uncertainty(Engine(model_dir), small_phantom.volume) <= 1
