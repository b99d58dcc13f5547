"""Without a text token, our propagation over slices is SAM 2's own over the frames of a video.

The other side is the ``sam2`` package's video predictor, built by its own ``build_sam2_video_predictor`` from its own
configuration of SAM 2.1-tiny, with random weights that both sides share, at 64 pixels. Where the two differ on
purpose:

* the predictor keeps one memory for both directions, so what it finds going down depends on having gone up; ours
  keeps one for each. Each direction is therefore compared with a predictor whose state is fresh;
* between prompted slices ours fuses what both directions found; its masks are compared with the predictor's two;
* in a video of fewer than 16 frames the predictor scales the time codes of object pointers by the video's length;
  ours scales them as in a long video, whatever the volume's height. Here are 18 slices;
* ours stops after ``PATIENCE_SLICES`` slices without the object; these tests make it go on;
* the predictor fills small holes of its masks on a GPU; that is switched off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sam2 import sam2_video_predictor
from sam2.build_sam import build_sam2, build_sam2_video_predictor
from sam2.modeling.sam2_base import NO_OBJ_SCORE

from medvlsam2.config import Sam2Config
from medvlsam2.model.pixel_decoder.build import build_sam2 as build_ours
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SlicePrompts, VolumeSAM2
from medvlsam2.model.propagation import batch
from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery, SlicePrompt
from medvlsam2.model.propagation.propagate import segment_objects

SAM21_TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
SIDE = 64
SLICES = 18
SCORE_SHIFT, SCORE_SCALE = 0.185, 20.0
"""So that with these random weights the object is on some slices and off others."""
CLICK = SlicePrompt(((25.0, 35.0),), (1,))
CLICKS = SlicePrompt(((25.0, 35.0), (45.0, 15.0), (30.5, 40.25)), (1, 0, 1))
BOX = SlicePrompt(((10.0, 17.0), (49.0, 43.0)), (2, 3))
BOX_AND_CLICKS = SlicePrompt((*BOX.points_xy, (25.0, 35.0), (45.0, 20.0)), (2, 3, 1, 0))


def test_keys_and_parameters_are_sam_21_tinys(tmp_path: Path) -> None:
    official = build_sam2(SAM21_TINY, device="cpu")
    torch.save({"model": official.state_dict()}, tmp_path / "sam2.1_hiera_tiny.pt")
    weights = torch.load(tmp_path / "sam2.1_hiera_tiny.pt", weights_only=True)["model"]
    for side in (512, 1024):
        ours = build_ours(Sam2Config(image_size=side))
        assert len(ours.state_dict()) == 471
        assert sum(parameter.numel() for parameter in ours.parameters()) == 38_962_498
        ours.load_state_dict(weights, strict=True, assign=True)


@pytest.fixture(scope="module")
def predictor() -> Any:
    """SAM 2's own predictor; noise on every weight, so that no part of it is idle at the start."""
    torch.manual_seed(7)
    model = build_sam2_video_predictor(SAM21_TINY, device="cpu", hydra_overrides_extra=[f"++model.image_size={SIDE}"])
    model.fill_hole_area = 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for fuser in model.memory_encoder.fuser.layers:
            fuser.gamma.fill_(0.5)
        for layer in model.memory_attention.layers:
            layer.cross_attn_image.out_proj.weight.mul_(5)
        score = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
        score.bias.add_(SCORE_SHIFT)
        score.weight.mul_(SCORE_SCALE)
        score.bias.mul_(SCORE_SCALE)
    return model


@pytest.fixture(scope="module")
def ours(predictor: Any) -> VolumeSAM2:
    model = build_ours(Sam2Config(image_size=SIDE)).eval()
    model.load_state_dict(predictor.state_dict(), strict=True)
    return model


@pytest.fixture(scope="module")
def slices() -> torch.Tensor:
    """A disc that moves and shrinks through noise."""
    torch.manual_seed(8)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    discs = [((x - 20 - d) ** 2 + (y - 35) ** 2 < (18 - d / 2) ** 2).float() for d in range(SLICES)]
    return 2 * torch.stack(discs)[:, None].repeat(1, 3, 1, 1) + 0.3 * torch.randn(SLICES, 3, SIDE, SIDE)


@pytest.fixture(scope="module")
def features(ours: VolumeSAM2, slices: torch.Tensor) -> SliceFeatures:
    with torch.no_grad():
        return ours.encode_slices(slices)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(batch, "PATIENCE_SLICES", SLICES)
        yield


def official(
    predictor: Any, slices: torch.Tensor, prompts: dict[int, SlicePrompt], *, reverse: bool
) -> dict[int, dict[str, torch.Tensor]]:
    """What the predictor says of each frame that it reaches in one direction, from a fresh state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sam2_video_predictor, "load_video_frames", lambda **_: (slices, SIDE, SIDE))
        state = predictor.init_state("any")
    for number, prompt in prompts.items():
        corners = [p for p, label in zip(prompt.points_xy, prompt.point_labels, strict=True) if label in (2, 3)]
        clicks = [(p, label) for p, label in zip(prompt.points_xy, prompt.point_labels, strict=True) if label in (0, 1)]
        predictor.add_new_points_or_box(
            state,
            number,
            obj_id=1,
            points=[p for p, _ in clicks] or None,
            labels=[label for _, label in clicks] or None,
            box=[*corners[0], *corners[1]] if corners else None,
        )
    start = max(prompts) if reverse else min(prompts)
    for _ in predictor.propagate_in_video(state, start_frame_idx=start, reverse=reverse):
        pass
    found = state["output_dict_per_obj"][0]
    return found["cond_frame_outputs"] | found["non_cond_frame_outputs"]


def assert_same(found: ObjectMasks, expected: dict[int, dict[str, torch.Tensor]], numbers: Collection[int]) -> None:
    for number in numbers:
        torch.testing.assert_close(
            found.mask_logits[number], expected[number]["pred_masks"][0, 0], atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            found.object_score_logits[number, None], expected[number]["object_score_logits"][0], atol=1e-4, rtol=1e-4
        )


PROMPTS = {
    "one click in the middle": {8: CLICK},
    "positive and negative clicks": {8: CLICKS},
    "a box": {8: BOX},
    "a box and clicks": {8: BOX_AND_CLICKS},
    "clicks on two slices": {5: CLICK, 11: CLICKS},
    "many prompted slices": {2: CLICK, 4: BOX, 6: CLICKS, 9: CLICK, 12: BOX, 15: CLICK},
    "the first slice": {0: CLICK},
    "the last slice": {SLICES - 1: BOX},
}


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS.keys())
def test_propagation_is_the_video_predictors(
    predictor: Any, ours: VolumeSAM2, slices: torch.Tensor, features: SliceFeatures, prompts: dict[int, SlicePrompt]
) -> None:
    found = segment_objects(ours, features, [ObjectQuery(prompts=prompts)])[0]
    assert found.conditioning_slices == tuple(sorted(prompts))
    first, last = min(prompts), max(prompts)
    upwards, downwards = (official(predictor, slices, prompts, reverse=reverse) for reverse in (False, True))
    assert_same(found, upwards, {*prompts, *range(last, SLICES)})
    assert_same(found, downwards, {*prompts, *range(first)})
    for number in set(range(first, last)) - set(prompts):
        assert_fused(found, number, upwards[number], downwards[number])


def assert_fused(found: ObjectMasks, number: int, *opinions: dict[str, torch.Tensor]) -> None:
    """The mean object score; where it is positive, some mean of the masks that hold the object."""
    scores = torch.cat([opinion["object_score_logits"][0] for opinion in opinions])
    torch.testing.assert_close(found.object_score_logits[number], scores.mean(), atol=1e-4, rtol=1e-4)
    mixed = found.mask_logits[number]
    if scores.mean() <= 0:
        assert (mixed == NO_OBJ_SCORE).all()
        return
    one, other = (opinion["pred_masks"][0, 0] for opinion in opinions)
    share = ((mixed - other) * (one - other)).sum() / (one - other).square().sum()
    assert -1e-3 < share < 1 + 1e-3
    assert scores.min() > 0 or abs(share - (scores[0] > 0).float()) < 1e-3, "what does not hold it has no say"
    torch.testing.assert_close(mixed, share * one + (1 - share) * other, atol=1e-3, rtol=1e-3)


def test_the_comparison_is_about_memory_and_about_masks(ours: VolumeSAM2, features: SliceFeatures) -> None:
    found = segment_objects(ours, features, [ObjectQuery(prompts={8: CLICK})])[0]
    with torch.no_grad():
        part = features.select(torch.tensor([14]))
        prompts = SlicePrompts()
        alone = ours.predict(ours.without_memory(part), part, prompts, None, multimask=True)
        boxed = segment_objects(ours, features, [ObjectQuery(prompts={8: BOX})])[0]
    shown = (found.object_score_logits > 0).sum()
    assert shown > 0, "an object that is nowhere has nothing to compare"
    assert (found.mask_logits[14] - alone.gated_logits()[0, 0]).abs().max() > 0.01
    assert (found.mask_logits[14] - boxed.mask_logits[14]).abs().max() > 0.001


def test_a_batch_of_objects_is_each_object_alone(ours: VolumeSAM2, features: SliceFeatures) -> None:
    queries = [
        ObjectQuery(prompts={8: CLICK}),
        ObjectQuery(prompts={3: SlicePrompt(((10.0, 45.0),), (1,))}),
        ObjectQuery(prompts={8: BOX}),
        ObjectQuery(prompts={15: CLICK}, first_slice=12),
        ObjectQuery(prompts={5: CLICK, 11: CLICKS}),
        ObjectQuery(prompts={2: CLICK, 8: CLICKS}, last_slice=13),
    ]
    together = segment_objects(ours, features, queries)
    for query, found in zip(queries, together, strict=True):
        assert_alike(found, segment_objects(ours, features, [query])[0])


def test_the_order_of_objects_does_not_matter(ours: VolumeSAM2, features: SliceFeatures) -> None:
    queries = [ObjectQuery(prompts={number: CLICK}) for number in (8, 3, 13, 5)]
    forwards = segment_objects(ours, features, queries)
    backwards = segment_objects(ours, features, queries[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert_alike(one, other)


def assert_alike(one: ObjectMasks, other: ObjectMasks) -> None:
    assert one.conditioning_slices == other.conditioning_slices
    torch.testing.assert_close(one.mask_logits, other.mask_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.object_score_logits, other.object_score_logits, atol=1e-4, rtol=1e-4)
