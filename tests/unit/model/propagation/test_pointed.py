"""The model is told whether an object is named or pointed at, on the prompted slice and during propagation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.text_similarity import Pointing
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SlicePrompts, VolumeSAM2
from medvlsam2.model.propagation.object_query import ObjectQuery, SlicePrompt
from medvlsam2.model.propagation.propagate import segment_objects

CLICK = SlicePrompt(((20.0, 20.0),), (1,))
BOX = SlicePrompt(((10.0, 10.0), (40.0, 40.0)), (2, 3))
BESIDE = SlicePrompt(((20.0, 20.0),), (0,))


@pytest.fixture
def features(tiny_model: MedVLSAM2) -> SliceFeatures:
    torch.manual_seed(0)
    side = tiny_model.config.sam2.image_size
    with torch.no_grad():
        return tiny_model.sam2.encode_slices(torch.randn(5, 3, side, side))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Pointing | None]:
    """For each call of the mask decoder, whether it was told that the object is pointed at."""
    seen: list[Pointing | None] = []
    predict = VolumeSAM2.predict

    def record(self: VolumeSAM2, *given: Any, **more: Any) -> Any:
        seen.append(more.get("pointing"))
        return predict(self, *given, **more)

    monkeypatch.setattr(VolumeSAM2, "predict", record)
    return seen


@pytest.mark.parametrize(("prompt", "pointing"), [(CLICK, "clicks"), (BOX, "box"), (BESIDE, "words")])
def test_every_slice_of_an_object_is_told_how_it_is_prompted(
    tiny_model: MedVLSAM2, features: SliceFeatures, told: list[Pointing | None], prompt: SlicePrompt, pointing: Pointing
) -> None:
    box_xyxy = (10.0, 10.0, 40.0, 40.0) if prompt is BOX else None
    query = ObjectQuery(torch.randn(tiny_model.config.sam2.hidden_dim), {2: prompt}, box_xyxy=box_xyxy)
    assert query.pointing == pointing
    assert query.is_pointed == (pointing != "words")
    segment_objects(tiny_model.sam2, features, [query])
    assert len(told) > 1, "the prompted slice and others"
    assert set(told) == {pointing}


def test_negative_and_positive_clicks_run_in_different_batches(
    tiny_model: MedVLSAM2, features: SliceFeatures, told: list[Pointing | None]
) -> None:
    """Both have the same number of points, but they must not run as one batch."""
    token = torch.randn(tiny_model.config.sam2.hidden_dim)
    segment_objects(tiny_model.sam2, features, [ObjectQuery(token, {2: CLICK}), ObjectQuery(token, {2: BESIDE})])
    assert {"clicks", "words"} <= set(told)


@torch.no_grad()
def test_by_default_the_prompts_on_the_slice_decide(tiny_model: MedVLSAM2, features: SliceFeatures) -> None:
    sam2, similarity = tiny_model.sam2, tiny_model.sam2.text_similarity
    assert similarity is not None
    token = torch.randn(1, tiny_model.config.sam2.hidden_dim)
    part = features.select(torch.tensor([0]))
    click = SlicePrompts(torch.tensor([CLICK.points_xy]), torch.tensor([CLICK.point_labels]))
    try:
        for pointed, prompts in ((True, click), (False, SlicePrompts())):
            similarity.forget_calibration()
            before = sam2.predict(sam2.without_memory(part), part, prompts, token, multimask=False).mask_logits
            similarity.calibrate((1.0, 3.0), pointed=pointed)
            after = sam2.predict(sam2.without_memory(part), part, prompts, token, multimask=False).mask_logits
            torch.testing.assert_close(after, before + 3.0)
    finally:
        similarity.forget_calibration()


def test_a_box_with_words_uses_the_mean_of_both(
    tiny_model: MedVLSAM2, features: SliceFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, edges = torch.randn(tiny_model.config.sam2.hidden_dim), (10.0, 10.0, 40.0, 40.0)
    seen: list[torch.Tensor] = []
    predict = VolumeSAM2.predict

    def record(self: VolumeSAM2, *given: Any, **more: Any) -> Any:
        seen.append(given[3][0])
        return predict(self, *given, **more)

    monkeypatch.setattr(VolumeSAM2, "predict", record)

    def looked_for(query: ObjectQuery) -> torch.Tensor:
        seen.clear()
        segment_objects(tiny_model.sam2, features, [query])
        assert all(torch.equal(one, seen[0]) for one in seen), "on every slice alike"
        return seen[0]

    shown = looked_for(ObjectQuery(None, {2: BOX}, box_xyxy=edges))
    assert not torch.allclose(shown, token)
    torch.testing.assert_close(looked_for(ObjectQuery(token, {2: BOX}, box_xyxy=edges)), (token + shown) / 2)
    torch.testing.assert_close(looked_for(ObjectQuery(token, {2: CLICK})), token)
