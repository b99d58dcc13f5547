"""One training step: the loss falls, and only the weights that the stage trains change."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from medvlsam2.model import builders, checkpoint
from medvlsam2.model.builders import TINY_RANDOM
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.conversation_samples import conversation_sample
from medvlsam2.training.parts import set_trainable, set_trainable_for_finetuning
from medvlsam2.training.steps.alignment import AlignmentStep, paired_requests
from medvlsam2.training.steps.base import Step
from medvlsam2.training.steps.conversation import ConversationStep
from medvlsam2.training.steps.pixels import clip, masks
from medvlsam2.training.steps.pixels.clip import ClipStep
from medvlsam2.training.steps.pixels.dense import DenseSample, DenseStep, dense_sample
from medvlsam2.training.steps.pixels.masks import MaskSample, MaskStep, mask_sample
from medvlsam2.training.steps.text import ReadingStep, TextStep
from medvlsam2.transforms.text import encode

PROMPTINGS = list(product(["text", "text+box", "box", "click"], [False, True]))
"""Every way of prompting, on single slices and along a clip with memory."""


@pytest.fixture
def model(tiny_loaded: LoadedModel) -> MedVLSAM2:
    """A fresh tiny model in training mode."""
    return builders.build(tiny_loaded.config, checkpoint.special_tokens(tiny_loaded.tokenizer), seed=4).train()


def sample_of(case: Case, seed: int, *, contiguous: bool = False) -> MaskSample:
    return mask_sample(
        case,
        np.random.default_rng(seed),
        num_slices=4,
        num_objects=3,
        contiguous=contiguous,
        sam2=TINY_RANDOM.sam2,
    )


def always(kind: str, patch: pytest.MonkeyPatch) -> None:
    """Draw one way of prompting alone."""
    for module in (masks, clip):
        patch.setattr(module, "draw_prompt_kind", lambda _: kind)


def moved(model: MedVLSAM2) -> set[str]:
    return {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}


def run_stage(model: MedVLSAM2, loaded: LoadedModel, case: Case, stage: int) -> None:
    """Gradients of a few steps of every kind that the stage takes."""
    rng = np.random.default_rng(0)
    assert case.facts is not None

    def learn(step: Step) -> None:
        step.run(model, loaded.tokenizer, rng).loss.backward()

    if stage == 0:
        rows = [torch.tensor(encode(loaded.tokenizer, text)) for text in ("The liver is normal.", "12 mm cyst.")]
        learn(TextStep(tuple(rows)))
        told = conversation_sample(case.facts, rng, 3, measured_share=1.0)
        assert told is not None
        learn(ReadingStep((told,)))
        return
    whole = case.whole_volume()
    about = conversation_sample(case.facts, rng, 3, measured_share=0.0)
    assert about is not None
    learn(ConversationStep(whole[None], (about,)))
    if stage >= 2:
        learn(AlignmentStep(whole, tuple(paired_requests(case, rng, 4))))
    if stage == 3:
        dense = dense_sample(case, rng, num_slices=3, num_structures=12, sam2=TINY_RANDOM.sam2)
        learn(DenseStep((dense,)))
        for seed, (kind, with_memory) in enumerate(PROMPTINGS):
            sample = next(s for n in range(99) if (s := sample_of(case, seed + n, contiguous=with_memory)).masks.any())
            with pytest.MonkeyPatch.context() as patch:
                always(kind, patch)
                learn((ClipStep if with_memory else MaskStep)((sample,)))


PARTS = {
    0: ("language.decoder.",),
    1: ("projector.", "vit."),
    2: ("projector.", "vit.", "language.", "seg_projector."),
    3: ("projector.", "vit.", "language.", "seg_projector.", "sam2."),
}
IDLE = {
    # What SAM 2 remembers of an absent object is reached only where the object score says so.
    "sam2.no_obj_ptr",
    "sam2.no_obj_embed_spatial",
    # A model without three candidate masks leaves these parts of SAM 2 as they are.
    "sam2.sam_prompt_encoder.no_mask_embed.",  # a model that draws prompts always has a mask prompt
    "sam2.image_encoder.neck.convs.0.",  # the coarsest level reaches the others through the trunk's own way back up
    "sam2.mask_downsample.",
    "sam2.no_mem_pos_enc",
    "sam2.sam_mask_decoder.output_hypernetworks_mlps.1",
    "sam2.sam_mask_decoder.output_hypernetworks_mlps.2",
    "sam2.sam_mask_decoder.output_hypernetworks_mlps.3",
}


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_gradients_reach_what_a_stage_trains_and_nothing_else(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case, stage: int
) -> None:
    set_trainable(model, stage)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trainable if not name.startswith(PARTS[stage])} == set()
    lora = {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert (lora <= trainable) == (stage >= 2)
    base = {name for name, _ in model.language.decoder.named_parameters(prefix="language.decoder") if name not in lora}
    assert (base <= trainable) == (stage == 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name or "conv2.weight" in name:
                parameter.normal_(std=0.02)  # zero at first, which would stop the gradient of its neighbour
    run_stage(model, tiny_loaded, tiny_case, stage)
    assert moved(model) <= trainable
    unmoved = trainable - moved(model)
    assert {name for name in unmoved if not name.startswith(tuple(IDLE))} == set()


def test_finetuning_moves_lora_projector_and_decoder_alone(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case
) -> None:
    set_trainable_for_finetuning(model)
    sample = sample_of(tiny_case, 1)
    MaskStep((sample,)).run(model, tiny_loaded.tokenizer, np.random.default_rng(0)).loss.backward()
    names = moved(model)
    assert names
    assert all(".lora_" in name or name.startswith(("seg_projector.", "sam2.sam_mask_decoder.")) for name in names)
    for part in (".lora_B", "seg_projector.", "sam2.sam_mask_decoder."):
        assert any(part in name for name in names), part


@pytest.mark.parametrize("prompting", PROMPTINGS, ids=str)
def test_every_way_of_prompting(
    model: MedVLSAM2,
    tiny_loaded: LoadedModel,
    tiny_case: Case,
    prompting: tuple[str, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Words reach the mask only where the prompt has words, clicks and boxes only where it has them."""
    kind, with_memory = prompting
    always(kind, monkeypatch)
    monkeypatch.setattr(masks, "draw_num_corrections", lambda _: 0)
    set_trainable(model, 3)
    drawn = (sample_of(tiny_case, seed, contiguous=with_memory) for seed in range(99))
    sample = next(sample for sample in drawn if sample.masks[:, 0].any(dim=(1, 2)).all())
    step = (ClipStep if with_memory else MaskStep)((sample,))
    result = step.run(model, tiny_loaded.tokenizer, np.random.default_rng(1))
    assert set(result.parts) == {"focal", "dice", "balanced", "iou", "object_score", "language"}
    assert all(np.isfinite(value) for value in result.parts.values())
    assert not any(value.requires_grad for value in result.parts.values())
    weighted = float(20 * result.parts["focal"] + sum(v for k, v in result.parts.items() if k != "focal"))
    assert float(result.loss.detach()) == pytest.approx(weighted, rel=1e-4)
    result.loss.backward()
    names = moved(model)
    assert any(name.startswith("seg_projector.") for name in names) == kind.startswith("text")
    assert any("point_embeddings" in name for name in names) == (kind != "text")
    assert any(name.startswith("sam2.memory_attention.") for name in names) == with_memory


def dense_parts(model: MedVLSAM2, loaded: LoadedModel, *samples: DenseSample) -> dict[str, torch.Tensor]:
    return DenseStep(samples).run(model, loaded.tokenizer, np.random.default_rng(0)).parts


def test_dense_steps_take_scans_together(model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case) -> None:
    """The loss of two scans with different numbers of structures lies between those of each."""
    rng = np.random.default_rng(3)
    few, many = (
        dense_sample(tiny_case, rng, num_slices=3, num_structures=count, sam2=TINY_RANDOM.sam2) for count in (2, 12)
    )
    assert len(few.phrases) != len(many.phrases)
    each = [dense_parts(model, tiny_loaded, one)["dense"] for one in (few, many)]
    both = dense_parts(model, tiny_loaded, few, many)["dense"]
    assert abs(float(each[0] - each[1])) > 1e-3
    torch.testing.assert_close(both, torch.stack(each).mean(), rtol=1e-3, atol=1e-4)


def test_a_model_without_visual_tokens_learns_from_words_alone(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case
) -> None:
    dense = dense_sample(tiny_case, np.random.default_rng(3), num_slices=3, num_structures=6, sam2=TINY_RANDOM.sam2)
    assert dense.pointed
    assert "visual" in dense_parts(model, tiny_loaded, dense)
    model.sam2.visual_tokens = None
    assert "visual" not in dense_parts(model, tiny_loaded, dense)


def test_clicks_correct_what_the_model_answers(
    model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer is learnt from, and each after the first has one click more than the one before."""
    seen: list[tuple[int, int]] = []
    predict = model.sam2.predict

    def spied(embedding, features, prompts, *arguments, **options):
        seen.append((len(features), 0 if prompts.points_xy is None else prompts.points_xy.shape[1]))
        return predict(embedding, features, prompts, *arguments, **options)

    monkeypatch.setattr(model.sam2, "predict", spied)
    always("box", monkeypatch)
    monkeypatch.setattr(masks, "draw_num_corrections", lambda _: 2)
    sample = next(s for seed in range(99) if (s := sample_of(tiny_case, seed, contiguous=False)).masks.all(0).any())
    result = MaskStep((sample,)).run(model, tiny_loaded.tokenizer, np.random.default_rng(1))
    boxed = [points for _, points in seen if points]
    assert boxed == [2, 3, 4]
    result.loss.backward()
    assert any("point_embeddings.0" in name or "point_embeddings.1" in name for name in moved(model))


@pytest.mark.parametrize("prompting", PROMPTINGS, ids=str)
def test_an_object_on_no_slice_is_prompted_by_words(
    model: MedVLSAM2,
    tiny_loaded: LoadedModel,
    tiny_case: Case,
    prompting: tuple[str, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a pixel to click on, only the object score is trained, whatever kind of prompt was drawn."""
    kind, with_memory = prompting
    always(kind, monkeypatch)
    sample = sample_of(tiny_case, 1, contiguous=with_memory)
    absent = replace(sample, masks=torch.zeros_like(sample.masks))
    step = (ClipStep if with_memory else MaskStep)((absent,))
    result = step.run(model, tiny_loaded.tokenizer, np.random.default_rng(1))
    assert {name for name, value in result.parts.items() if value} == {"object_score", "language"}
    result.loss.backward()
    names = moved(model)
    assert any("pred_obj_score_head" in name for name in names)
    assert not any("point_embeddings" in name for name in names)


@pytest.mark.slow
def test_it_learns_one_phantom(model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case) -> None:
    """Two samples, seen again and again: mask, presence and words all get better.

    Gradients are clipped together, so the words wait until the masks, whose gradients are the largest, are learnt.
    """
    set_trainable(model, 3)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    samples = tuple(sample_of(tiny_case, seed) for seed in (1, 2))
    history = []
    for _ in range(100):
        result = MaskStep(samples).run(model, tiny_loaded.tokenizer, np.random.default_rng(7))
        optimizer.zero_grad()
        result.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        history.append({"loss": float(result.loss.detach()), **{k: float(v) for k, v in result.parts.items()}})
    for part, share in (("loss", 0.75), ("dice", 0.85), ("focal", 0.8), ("language", 0.85)):
        assert history[-1][part] < share * history[0][part], (part, history[0], history[-1])


def text_loss(model: MedVLSAM2, loaded: LoadedModel, *rows: torch.Tensor) -> torch.Tensor:
    return TextStep(rows).run(model, loaded.tokenizer, np.random.default_rng(0)).loss


def test_it_learns_to_segment_by_words(model: MedVLSAM2, tiny_loaded: LoadedModel, tiny_case: Case) -> None:
    set_trainable(model, 0)
    row = torch.tensor(encode(tiny_loaded.tokenizer, "The liver is normal. There is a 12 mm cyst."))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(25):
        loss = text_loss(model, tiny_loaded, row)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_padding_is_not_learnt(model: MedVLSAM2, tiny_loaded: LoadedModel) -> None:
    short = torch.tensor(encode(tiny_loaded.tokenizer, "liver and spleen"))
    long = torch.tensor(encode(tiny_loaded.tokenizer, "The liver is normal. The spleen is normal. No cyst is seen."))
    model.eval()
    losses = [float(text_loss(model, tiny_loaded, *rows).detach()) for rows in ([short], [long], [short, long])]
    counts = [len(short) - 1, len(long) - 1]
    expected = (losses[0] * counts[0] + losses[1] * counts[1]) / sum(counts)
    assert losses[2] == pytest.approx(expected, rel=1e-4)
