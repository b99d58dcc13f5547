"""One training step: losses of a batch, nothing else (no optimiser, no logging)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language import chat
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.slice_memory import SliceMemory
from medvlsam2.model.pixel_decoder.text_similarity import Pointing
from medvlsam2.model.pixel_decoder.volume_sam2 import (
    SliceFeatures,
    SliceMasks,
    SlicePrompts,
    VolumeSAM2,
)
from medvlsam2.training.data.samples import SegmentationSample, Talk
from medvlsam2.training.data.simulated_prompts import (
    PromptKind,
    draw_num_corrections,
    draw_points,
    draw_prompt_kind,
)
from medvlsam2.training.steps.conversation import answers_loss, turns_after_images
from medvlsam2.training.steps.corrections import with_correction
from medvlsam2.training.steps.losses import MaskLoss, alignment_loss, mask_loss
from medvlsam2.transforms.text import Conversation, pad

_CLIP_ORIGIN = 64
TEXT_CORRECTED_SHARE = 0.4
"""Share of objects asked for in words, and there, whose answer is then corrected by clicks."""


@dataclass(frozen=True)
class StepResult:
    """What one step yields."""

    loss: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]
    """Terms of the loss for the log, detached and still on the device: reading one would make the host wait."""


def text_step(model: MedVLSAM2, rows: Sequence[Int[Tensor, " _"]], starts: Sequence[int] | None = None) -> StepResult:
    """Stage 0: predict every token of texts without an image, or of each text those from a place on."""
    ids, attention_mask = (part.to(_device(model)) for part in pad(rows, model.language.token_ids.pad))
    labels = ids.masked_fill(attention_mask == 0, -100)
    for row, start in zip(labels, starts or (), strict=starts is not None):
        row[:start] = -100
    loss = model.language(ids, attention_mask, None, labels).loss
    return StepResult(loss, {"language": loss.detach()})


def reading_step(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, talks: Sequence[Talk]) -> StepResult:
    """Stage 0: answer from what masks measure, without an image."""
    loss = answers_loss(model, tokenizer, None, [one.conversations for one in talks], [one.measured for one in talks])
    return StepResult(loss, {"language": loss.detach()})


def conversation_step(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    whole: Float[Tensor, "v 1 d h w"],
    conversations: Sequence[Sequence[Conversation]],
    measured: Sequence[str | None],
) -> StepResult:
    """Stages 1 to 3: answer questions about volumes, with or without what masks of them measure."""
    loss = answers_loss(model, tokenizer, model.encode_volume(whole), conversations, measured)
    return StepResult(loss, {"language": loss.detach()})


def alignment_step(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, whole: Float[Tensor, "1 d h w"], wordings: Sequence[str]
) -> StepResult:
    """Stages 2 and 3: the [SEG] state tells requests apart.

    Args:
        model: the model.
        tokenizer: the model's.
        whole: one volume, which all requests are about.
        wordings: requests; entries 2n and 2n + 1 are two wordings for one structure.
    """
    tokens, language_loss = request_tokens(model, tokenizer, model.encode_volume(whole[None]), [wordings])
    loss = alignment_loss(tokens[0::2].float(), tokens[1::2].float())
    return StepResult(loss + language_loss, {"alignment": loss.detach()})


def segmentation_step(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[SegmentationSample],
    rng: np.random.Generator,
    *,
    with_memory: bool,
) -> StepResult:
    """Stage 3: masks for words, clicks and boxes, on single slices or along a clip with memory.

    The samples' masks stay in the host's memory, where prompts are drawn from them; targets follow to the device.
    """
    tokens, language_loss = text_tokens(model, tokenizer, samples)
    features = model.sam2.encode_slices(torch.cat([sample.slices for sample in samples]))
    truth = torch.stack([sample.masks for sample in samples])  # b k n m m
    run = _clip_losses if with_memory else _slice_losses
    loss = run(model, features, tokens, truth, rng)
    parts = {
        "focal": loss.focal.detach(),
        "dice": loss.dice.detach(),
        "balanced": loss.balanced.detach(),
        "iou": loss.iou.detach(),
        "object_score": loss.object_score.detach(),
        "language": language_loss.detach(),
    }
    return StepResult(loss.total + language_loss, parts)


def _device(model: MedVLSAM2) -> torch.device:
    return next(model.parameters()).device


def text_tokens(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, samples: Sequence[SegmentationSample]
) -> tuple[Float[Tensor, "b k c"], Float[Tensor, ""]]:
    """Projected states at [SEG] for every object of every sample, and the language loss of the answers."""
    image_tokens = model.encode_volume(torch.stack([sample.whole for sample in samples]))
    tokens, loss = request_tokens(model, tokenizer, image_tokens, [sample.phrases for sample in samples])
    return tokens.reshape(len(samples), -1, tokens.shape[-1]), loss


def request_tokens(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"],
    phrases: Sequence[Sequence[str]],
) -> tuple[Float[Tensor, "k c"], Float[Tensor, ""]]:
    """Projected states at [SEG] of requests about volumes, one after the other, and the language loss of answers."""
    requests = [[Conversation(phrase, chat.SEGMENTATION_ANSWER) for phrase in asked] for asked in phrases]
    turns = turns_after_images(model, tokenizer, image_tokens, requests, [None] * len(requests))
    return model.text_tokens(turns.hidden_states_last, turns.input_ids), turns.loss


def _slice_losses(
    model: MedVLSAM2,
    features: SliceFeatures,
    tokens: Float[Tensor, "b k c"],
    truth: Bool[Tensor, "b k n m m"],
    rng: np.random.Generator,
) -> MaskLoss:
    """Every object on every slice by itself, each object with a way of prompting of its own.

    What is on none of the slices can only be asked for in words.
    """
    batch, count, slices = truth.shape[:3]
    groups: dict[tuple[PromptKind, bool], list[tuple[int, int, int]]] = {}
    for b in range(batch):
        for k in range(count):
            shown = truth[b, k].flatten(1).any(dim=1).tolist()
            kind = draw_prompt_kind(rng) if any(shown) else "text"
            everywhere = kind == "text" and not (any(shown) and rng.random() < TEXT_CORRECTED_SHARE)
            pairs = [(b, k, n) for n in range(slices) if everywhere or shown[n]]
            groups.setdefault((kind, everywhere), []).extend(pairs)
    outputs, targets = [], []
    for (kind, everywhere), pairs in groups.items():
        index = torch.tensor(pairs).T
        target = truth[tuple(index)]
        prompts = draw_prompts(kind, target, rng, model.sam2.image_size, tokens.device)
        index, target = index.to(tokens.device), target.to(tokens.device)
        part = features.select(index[0] * slices + index[2])
        token = tokens[index[0], index[1]] if kind.startswith("text") else None
        corrections = 0 if everywhere else draw_num_corrections(rng)
        found = list(_answers(model, part, prompts, words=token, target=target, corrections=corrections))
        outputs += found
        targets += [target] * len(found)
    return _masks_loss(outputs, targets)


def _answers(
    model: MedVLSAM2,
    part: SliceFeatures,
    prompts: SlicePrompts,
    *,
    words: Float[Tensor, "p c"] | None,
    target: Bool[Tensor, "p m m"],
    corrections: int,
) -> Iterator[SliceMasks]:
    """The first answer, and one after each click that corrects the one before."""
    sam2 = model.sam2
    for number in range(corrections + 1):
        token = sam2.visual_token(part, prompts) if words is None else words
        masks = sam2.predict(sam2.without_memory(part), part, prompts, token, multimask=False)
        yield masks
        if number < corrections:
            prompts = with_correction(prompts, masks.mask_logits[:, 0] > 0, target, sam2.image_size)


def _clip_losses(
    model: MedVLSAM2,
    features: SliceFeatures,
    tokens: Float[Tensor, "b k c"],
    truth: Bool[Tensor, "b k n m m"],
    rng: np.random.Generator,
) -> MaskLoss:
    """A prompt on the first slice of each clip, memory on the others; a box holds the object on all of them."""
    kind = draw_prompt_kind(rng)
    visible = torch.nonzero(truth[:, :, 0].flatten(2).any(dim=2))
    if kind != "text" and len(visible) == 0:
        kind = "text"
    pairs = visible if kind != "text" else torch.nonzero(torch.ones(truth.shape[:2], dtype=torch.bool))
    b, k = pairs.T
    target = truth[b, k]  # pairs n m m
    is_box = kind.endswith("box")
    shown = target.any(dim=1) if is_box else target[:, 0]
    prompts = draw_prompts(kind, shown, rng, model.sam2.image_size, tokens.device)
    b, k, target = (part.to(tokens.device) for part in (b, k, target))
    token = tokens[b, k] if kind.startswith("text") else None
    first, length = b * truth.shape[2], truth.shape[2]
    outputs = list(_track(model, features, first, length=length, prompts=prompts, token=token, is_box=is_box))
    return _masks_loss(outputs, [target[:, n] for n in range(truth.shape[2])])


def _track(
    model: MedVLSAM2,
    features: SliceFeatures,
    first: Int[Tensor, " p"],
    *,
    length: int,
    prompts: SlicePrompts,
    token: Float[Tensor, "p c"] | None,
    is_box: bool,
) -> Iterator[SliceMasks]:
    sam2 = model.sam2
    memory = SliceMemory(_CLIP_ORIGIN)
    part = features.select(first)
    token = sam2.visual_token(part, prompts) if token is None else token
    later = SlicePrompts(mask_logits=_drawn(sam2, prompts) if is_box else None)
    pointing: Pointing = "words" if prompts.points_xy is None else "box"
    masks = sam2.predict(sam2.without_memory(part), part, prompts, token, multimask=False)
    memory.conditioning[_CLIP_ORIGIN] = sam2.remember(part, masks, prompted=prompts.points_xy is not None)
    yield masks
    for step in range(1, length):
        part = features.select(first + step)
        embedding = sam2.with_memory(part, memory, _CLIP_ORIGIN + step)
        masks = sam2.predict(embedding, part, later, token, multimask=False, pointing=pointing)
        memory.add(_CLIP_ORIGIN + step, sam2.remember(part, masks, prompted=False))
        yield masks


def _drawn(sam2: VolumeSAM2, prompts: SlicePrompts) -> Float[Tensor, "p 1 m m"] | None:
    """The box of a clip, for its other slices."""
    if not sam2.drawn_prompts or prompts.points_xy is None or prompts.point_labels is None:
        return None
    return sam2.draw(prompts.points_xy, prompts.point_labels)


def draw_prompts(
    kind: PromptKind, target: Bool[Tensor, "p m m"], rng: np.random.Generator, image_size: int, device: torch.device
) -> SlicePrompts:
    """Prompts of one kind for objects on their slices; the same number of clicks for all of them."""
    if kind == "text":
        return SlicePrompts()
    points_xy, point_labels = draw_points(kind, list(target), rng, image_size)
    return SlicePrompts(points_xy=points_xy.to(device), point_labels=point_labels.to(device))


def _masks_loss(outputs: Sequence[SliceMasks], targets: Sequence[Bool[Tensor, "_ m m"]]) -> MaskLoss:
    return mask_loss(
        torch.cat([output.mask_logits[:, 0] for output in outputs]).float(),
        torch.cat([output.iou[:, 0] for output in outputs]).float(),
        torch.cat([output.object_score_logits[:, 0] for output in outputs]).float(),
        torch.cat(list(targets)),
    )
