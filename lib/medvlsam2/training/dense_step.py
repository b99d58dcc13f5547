"""One step that compares many structures with every pixel, without the mask decoder.

Such a step compares some hundred pairs of structure and slice, where the mask decoder affords some dozen, so the
image encoder and the prompt tokens learn to meet. Tokens come from words and, where the model has visual tokens, from
clicks and boxes. Only for models with the similarity term.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.text_similarity import evidence
from medvlsam2.model.volume_sam2 import SliceFeatures
from medvlsam2.training.losses import dense_loss, finding_loss
from medvlsam2.training.samples import DenseSample
from medvlsam2.training.step import StepResult, draw_prompts, request_tokens

MAX_PROMPTED = 6
"""Structures of a scan that are also clicked or boxed."""


def dense_step(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, samples: Sequence[DenseSample], rng: np.random.Generator
) -> StepResult:
    """Words, clicks and boxes against every pixel.

    Args:
        model: the model.
        tokenizer: the model's.
        samples: slices with the labels of many structures.
        rng: draws clicks and boxes.
    """
    features = model.sam2.encode_slices(torch.cat([sample.slices for sample in samples]))
    image_tokens = model.encode_volume(torch.stack([sample.whole for sample in samples]))
    phrases = [(*sample.phrases, *sample.finding_phrases) for sample in samples]
    all_words, language_loss = request_tokens(model, tokenizer, image_tokens, phrases)
    parts: dict[str, list[Tensor]] = {"dense": [], "finding": [], "presence": [], "visual": []}
    start = 0
    for sample, words in zip(samples, torch.split(all_words, [len(asked) for asked in phrases]), strict=True):
        own = features.select(torch.arange(start, start + len(sample.slices), device=words.device))
        start += len(sample.slices)
        similarity, label_map = _similarity(model, own, words), sample.label_map.to(words.device)
        structures, findings = similarity.tensor_split([len(sample.phrases)], dim=1)
        masks = sample.findings.transpose(0, 1).to(words.device)  # f n m m -> n f m m
        parts["dense"].append(_mask_loss(model, structures, label_map))
        if sample.finding_phrases:
            parts["finding"].append(finding_loss(findings + _bias(model), masks))
        parts["presence"].append(_presence_loss(model, similarity, _present(structures, label_map, masks)))
        if sample.slices.shape[-1] == model.sam2.image_size:
            parts["visual"] += _visual_losses(model, own, sample, rng)
    means = {name: torch.stack(losses).mean() for name, losses in parts.items() if losses}
    means["language"] = language_loss
    return StepResult(torch.stack(list(means.values())).sum(), {name: mean.detach() for name, mean in means.items()})


def _similarity(model: MedVLSAM2, features: SliceFeatures, tokens: Float[Tensor, "k c"]) -> Float[Tensor, "n k m m"]:
    assert model.sam2.text_similarity is not None
    return model.sam2.text_similarity.of_all(tokens, features.levels).float()


def _bias(model: MedVLSAM2) -> Float[Tensor, " 1"]:
    assert model.sam2.text_similarity is not None
    return model.sam2.text_similarity.mask_bias


def _mask_loss(
    model: MedVLSAM2, similarity: Float[Tensor, "n k m m"], label_map: Int[Tensor, "n m m"]
) -> Float[Tensor, ""]:
    return dense_loss(similarity + _bias(model), label_map)


def _present(
    structures: Float[Tensor, "n k m m"], label_map: Int[Tensor, "n m m"], findings: Bool[Tensor, "n f m m"]
) -> Bool[Tensor, "n q"]:
    """Whether each structure and each finding is on each slice."""
    numbers = torch.arange(1, structures.shape[1] + 1, device=label_map.device)
    on_slice = (label_map.flatten(1)[:, None] == numbers[:, None]).any(dim=2)
    return torch.cat([on_slice, findings.flatten(2).any(dim=2)], dim=1)


def _presence_loss(
    model: MedVLSAM2, similarity: Float[Tensor, "n q m m"], present: Bool[Tensor, "n q"]
) -> Float[Tensor, ""]:
    """Presence by the most similar pixels of each slice."""
    assert model.sam2.text_similarity is not None
    votes = evidence(similarity.flatten(0, 1)[:, None])[:, 0] + model.sam2.text_similarity.score_bias
    return F.binary_cross_entropy_with_logits(votes, present.flatten().float())


def _visual_losses(
    model: MedVLSAM2, features: SliceFeatures, sample: DenseSample, rng: np.random.Generator
) -> list[Float[Tensor, ""]]:
    """The same for structures that are clicked or boxed on one of the slices."""
    if model.sam2.visual_tokens is None:
        return []
    label_map = sample.label_map.cpu()
    values = torch.from_numpy(np.unique(label_map[label_map > 0].numpy()))
    losses = []
    for kind in ("box", "click"):
        chosen = values[torch.from_numpy(rng.permutation(len(values))[:MAX_PROMPTED])]
        if not len(chosen):
            continue
        masks = label_map[None] == chosen[:, None, None, None]
        slices = torch.tensor([int(rng.choice(np.flatnonzero(mask.flatten(1).any(dim=1).numpy()))) for mask in masks])
        target = masks[torch.arange(len(chosen)), slices]
        device = features.embedding.device
        prompts = draw_prompts(kind, target, rng, model.sam2.image_size, device)
        tokens = model.sam2.visual_token(features.select(slices.to(device)), prompts)
        assert tokens is not None
        order = torch.arange(1, len(chosen) + 1).view(-1, 1, 1, 1)
        prompted = (masks * order).amax(dim=0).to(device)
        losses.append(_mask_loss(model, _similarity(model, features, tokens), prompted))
    return losses
