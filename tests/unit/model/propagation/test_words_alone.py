"""Masks by words alone of a model whose mask decoder has no weight: the same masks without decoder and memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, VolumeSAM2
from medvlsam2.model.propagation.batch import Batch
from medvlsam2.model.propagation.object_query import (
    EMPTY_LOGIT,
    ObjectMasks,
    ObjectQuery,
    SlicePrompt,
)
from medvlsam2.model.propagation.propagate import segment_objects
from medvlsam2.model.propagation.words_alone import stability

SLICES = 9
BESIDE = {2: SlicePrompt(((20.0, 20.0),), (0,))}
ON_IT = {2: SlicePrompt(((20.0, 20.0),), (1,))}


@pytest.fixture
def sam2(tiny_model: MedVLSAM2) -> Iterator[VolumeSAM2]:
    """With a calibration that leaves the decoder no weight where words are alone."""
    similarity = similarity_of(tiny_model.sam2)
    similarity.calibrate((0.0, 0.25), pointed=False)
    yield tiny_model.sam2
    similarity.forget_calibration()


@pytest.fixture
def features(tiny_model: MedVLSAM2) -> SliceFeatures:
    with torch.no_grad():
        return tiny_model.sam2.encode_slices(torch.randn(SLICES, 3, 64, 64))


@pytest.fixture
def token(tiny_model: MedVLSAM2) -> torch.Tensor:
    return 6 * torch.randn(tiny_model.config.sam2.hidden_dim)


def similarity_of(sam2: VolumeSAM2) -> TextSimilarity:
    assert sam2.text_similarity is not None
    return sam2.text_similarity


@contextmanager
def score_bias(sam2: VolumeSAM2, value: float) -> Iterator[None]:
    bias = similarity_of(sam2).score_bias
    before = bias.item()
    bias.data.fill_(value)
    try:
        yield
    finally:
        bias.data.fill_(before)


def find(sam2: VolumeSAM2, features: SliceFeatures, *queries: ObjectQuery, stride: int = 1) -> list[ObjectMasks]:
    found = segment_objects(sam2, features, queries, stride=stride)
    assert all((one.mask_logits > 0).any() for one in found), "or nothing is compared"
    return found


def test_masks_are_those_that_propagation_finds(
    sam2: VolumeSAM2, features: SliceFeatures, token: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared on every slice on which both find the object."""
    query = ObjectQuery(token)
    (alone,) = find(sam2, features, query)
    monkeypatch.setattr(TextSimilarity, "is_enough_for_words", False)
    (propagated,) = find(sam2, features, query)
    both = (alone.object_score_logits > 0) & (propagated.object_score_logits > 0)
    assert both.any()
    torch.testing.assert_close(alone.mask_logits[both], propagated.mask_logits[both], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prompts", [{}, BESIDE, ON_IT])
def test_clicked_objects_are_propagated(
    sam2: VolumeSAM2,
    features: SliceFeatures,
    token: torch.Tensor,
    prompts: dict[int, SlicePrompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[int] = []
    run = Batch.run
    monkeypatch.setattr(Batch, "run", lambda batch: (ran.append(1), run(batch)))
    segment_objects(sam2, features, [ObjectQuery(token, prompts)])
    assert bool(ran) == (prompts is ON_IT)


def test_a_decoder_with_a_weight_is_used(
    sam2: VolumeSAM2, features: SliceFeatures, token: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    similarity_of(sam2).calibrate((0.25, 0.0), pointed=False)
    ran: list[int] = []
    monkeypatch.setattr(Batch, "run", lambda _: ran.append(1))
    segment_objects(sam2, features, [ObjectQuery(token)])
    assert ran


@pytest.mark.parametrize("stride", [1, 3])
def test_other_requested_objects_do_not_change_a_mask(
    sam2: VolumeSAM2, features: SliceFeatures, token: torch.Tensor, stride: int
) -> None:
    queries = [ObjectQuery(token), ObjectQuery(-token, first_slice=2, last_slice=5), ObjectQuery(token.flip(0))]
    for query, among_others in zip(queries, find(sam2, features, *queries, stride=stride), strict=True):
        (alone,) = find(sam2, features, query, stride=stride)
        torch.testing.assert_close(alone.mask_logits, among_others.mask_logits)
        torch.testing.assert_close(alone.object_score_logits, among_others.object_score_logits)


def test_nothing_is_found_outside_of_the_span(sam2: VolumeSAM2, features: SliceFeatures, token: torch.Tensor) -> None:
    (found,) = find(sam2, features, ObjectQuery(token, first_slice=2, last_slice=5))
    assert (found.mask_logits[[0, 1, 6, 7, 8]] == EMPTY_LOGIT).all()
    assert (found.object_score_logits[2:6] != EMPTY_LOGIT).all()


def test_slices_far_from_all_that_was_seen_are_left_out(
    sam2: VolumeSAM2, features: SliceFeatures, token: torch.Tensor
) -> None:
    """Seen on the fourth of slices 0, 3 and 6 alone: those between 0 and 6 are looked at, 7 and 8 are not."""
    lit = torch.zeros(SLICES, 1, 1, 1)
    lit[3] = 1.0
    only = SliceFeatures(features.embedding * lit, features.high_res_0 * lit, features.high_res_1 * lit)
    told: list[int] = []
    with score_bias(sam2, -0.5):
        segment_objects(sam2, only, [ObjectQuery(token)], stride=3, shown=lambda _, number, __: told.append(number))
    assert told == [0, 3, 6, 1, 2, 4, 5]


def test_slices_without_the_named_object_have_no_mask(
    sam2: VolumeSAM2, features: SliceFeatures, token: torch.Tensor
) -> None:
    with score_bias(sam2, -1000.0):
        (found,) = segment_objects(sam2, features, [ObjectQuery(token)])
    assert not (found.mask_logits > 0).any()
    assert (found.object_score_logits < 0).all()


def test_a_mask_is_stable_that_hardly_changes_with_its_threshold() -> None:
    logits = torch.full((3, 8, 8), -5.0)
    logits[0, :4] = 5.0
    logits[1, :2], logits[1, 2:4] = 5.0, 0.0
    torch.testing.assert_close(stability(logits), torch.tensor([1.0, 0.5, 0.0]))
