"""As many slices as were wanted, and no two gaps between them that differ."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2.data.phantom import Phantom
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.tasks import uncertainty
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.training import validate
from medvlsam2.training.data.cases import Case
from medvlsam2.transforms.slice_choice import evenly_spaced


@given(st.integers(0, 300), st.integers(1, 60))
def test_as_many_as_wanted_and_as_far_apart_as_can_be(count, at_most):
    numbers = evenly_spaced(count, at_most)
    assert len(numbers) == min(count, at_most)
    assert set(numbers) <= set(range(count))
    gaps = np.diff(numbers)
    assert (gaps > 0).all()
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
    if at_most > 1 and count:
        assert (numbers[0], numbers[-1]) == (0, count - 1)


def test_doubt_is_asked_of_24_slices_of_36(tiny_model_dir, small_phantom: Phantom, monkeypatch) -> None:
    asked = []

    def spied(sam2, features, tokens, numbers, lease):
        asked.append(numbers)
        return find(sam2, features, tokens, numbers, lease)

    find = uncertainty.masks_without_memory
    monkeypatch.setattr(uncertainty, "masks_without_memory", spied)
    uncertainty.uncertainty(Engine(tiny_model_dir), small_phantom.volume)
    assert [(len(numbers), numbers[0], numbers[-1]) for numbers in asked] == [(24, 0, 35)]


def test_dice_in_training_is_of_24_slices_of_36(
    tiny_loaded: LoadedModel, tiny_model: MedVLSAM2, tiny_case: Case, monkeypatch
) -> None:
    asked = []

    def spied(case, numbers, config):
        asked.append(numbers.tolist())
        return channels(case, numbers, config)

    channels = Case.channels_hu
    monkeypatch.setattr(Case, "channels_hu", spied)
    assert validate.text_dice(tiny_model, tiny_loaded.tokenizer, [tiny_case])
    assert [(len(numbers), numbers[0], numbers[-1]) for numbers in asked] == [(24, 0, 35)]
