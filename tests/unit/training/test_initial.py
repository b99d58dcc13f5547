"""Starting a run from another model: the parts that fit are taken, the others stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medvlsam2.errors import InvalidConfig
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.initial import PARTS, take_parts


def fresh(loaded: LoadedModel, **sam2: object) -> MedVLSAM2:
    config = replace(loaded.config, sam2=replace(loaded.config.sam2, **sam2))
    return builders.build(config, checkpoint.special_tokens(loaded.tokenizer), seed=8)


def equal(model: MedVLSAM2, other: MedVLSAM2, part: str) -> bool:
    own, given = getattr(model, part).state_dict(), getattr(other, part).state_dict()
    return own.keys() == given.keys() and all(torch.equal(own[key], given[key]) for key in own)


def test_every_part_of_a_model_of_the_same_size(tiny_loaded: LoadedModel, model_dir: Path) -> None:
    model = fresh(tiny_loaded)
    assert not equal(model, tiny_loaded.model, "language")
    assert take_parts(model, model_dir) == PARTS
    assert all(equal(model, tiny_loaded.model, part) for part in PARTS)


def test_a_part_of_another_size_stays_as_it_was_drawn(tiny_loaded: LoadedModel, model_dir: Path) -> None:
    model, untouched = fresh(tiny_loaded, memory_layers=2), fresh(tiny_loaded, memory_layers=2)
    assert take_parts(model, model_dir) == tuple(part for part in PARTS if part != "sam2")
    assert equal(model, untouched, "sam2")
    assert equal(model, tiny_loaded.model, "language")


def test_nothing_that_fits_is_an_error(
    tiny_loaded: LoadedModel, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medvlsam2.training.initial.PARTS", ("sam2",))
    with pytest.raises(InvalidConfig, match="No part of 'medvlsam2-tiny-random'"):
        take_parts(fresh(tiny_loaded, memory_layers=2), model_dir)
