"""One step that compares many structures with every pixel, without the mask decoder.

Such a step compares some hundred pairs of structure and slice, where the mask decoder affords some dozen, so the
image encoder and the prompt tokens learn to meet. Tokens come from words and, where the model has visual tokens, from
clicks and boxes. Only for models with the similarity term.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity, evidence
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SlicePrompts
from medvlsam2.training.data.samples import DenseSample
from medvlsam2.training.data.simulated_prompts import Pointed
from medvlsam2.training.steps.losses import dense_loss, finding_loss
from medvlsam2.training.steps.masks import StepResult, request_tokens


def dense_step(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, samples: Sequence[DenseSample]) -> StepResult:
    """Words, clicks and boxes against every pixel.

    Args:
        model: the model.
        tokenizer: the model's.
        samples: slices with the labels of many structures; each has as many slices, of the same size.
    """
    features = model.sam2.encode_slices(torch.cat([sample.slices for sample in samples]))
    image_tokens = model.encode_volume(torch.stack([sample.whole for sample in samples]))
    phrases = [(*sample.phrases, *sample.finding_phrases) for sample in samples]
    words, language_loss = request_tokens(model, tokenizer, image_tokens, phrases)
    counts = [len(asked) for asked in phrases]
    similarity = _similarity(model, features, torch.split(words, counts))
    label_map = torch.stack([sample.label_map for sample in samples]).to(words.device)
    structures = _only(similarity, [len(sample.phrases) for sample in samples])
    losses = {"dense": dense_loss(structures + _term(model).mask_bias, label_map)}
    present = torch.zeros(*similarity.shape[:2], similarity.shape[2] + 1, dtype=torch.bool, device=words.device)
    present = present.scatter_(2, label_map.flatten(2), True)[:, :, 1:]  # b n k
    if found := [(b, q) for b, sample in enumerate(samples) for q in range(len(sample.phrases), counts[b])]:
        b, q = torch.tensor(found, device=words.device).T
        truth = torch.cat([sample.findings for sample in samples]).to(words.device)  # f n m m
        losses["finding"] = finding_loss(similarity.transpose(1, 2)[b, q] + _term(model).mask_bias, truth)
        present[b, :, q] = truth.flatten(2).any(dim=2)
    losses["presence"] = _presence_loss(model, _only(similarity, counts), present)
    values = 1 + max(len(sample.phrases) for sample in samples)
    ways = [] if model.sam2.visual_tokens is None else _by_kind(samples)
    visual = [_pointed_loss(model, features, each, label_map, values=values) for each in ways]
    if visual:
        losses["visual"] = torch.stack(visual).mean()
    losses["language"] = language_loss
    return StepResult(torch.stack(list(losses.values())).sum(), {name: loss.detach() for name, loss in losses.items()})


def _term(model: MedVLSAM2) -> TextSimilarity:
    assert model.sam2.text_similarity is not None
    return model.sam2.text_similarity


def _similarity(
    model: MedVLSAM2, features: SliceFeatures, tokens: Sequence[Float[Tensor, "_ c"]]
) -> Float[Tensor, "b n k m m"]:
    """Of each scan's tokens on its slices; what a scan has fewer of is similar to anything."""
    return _term(model).of_each(pad_sequence(list(tokens), batch_first=True), features.levels).float()


def _only(similarity: Float[Tensor, "b n k m m"], counts: Sequence[int]) -> Float[Tensor, "b n most m m"]:
    """The first so many of each scan, minus infinity for the rest."""
    most = max(counts)
    beyond = torch.arange(most) >= torch.tensor(counts)[:, None]
    return similarity[:, :, :most].masked_fill(beyond[:, None, :, None, None].to(similarity.device), -torch.inf)


def _presence_loss(
    model: MedVLSAM2, similarity: Float[Tensor, "b n k m m"], present: Bool[Tensor, "b n k"]
) -> Float[Tensor, ""]:
    """Presence by the most similar pixels of each slice, where something is asked for."""
    asked = ~similarity[..., 0, 0].isinf()
    votes = evidence(similarity.flatten(0, 2)[:, None])[:, 0].reshape(present.shape) + _term(model).score_bias
    wrong = F.binary_cross_entropy_with_logits(votes.masked_fill(~asked, 0.0), present.float(), reduction="none")
    return (wrong * asked).sum() / asked.sum()


def _by_kind(samples: Sequence[DenseSample]) -> list[list[Pointed | None]]:
    """What is pointed at in each scan, one way after the other."""
    most = max(len(sample.pointed) for sample in samples)
    return [[sample.pointed[way] if way < len(sample.pointed) else None for sample in samples] for way in range(most)]


def _pointed_loss(
    model: MedVLSAM2,
    features: SliceFeatures,
    pointed: Sequence[Pointed | None],
    label_map: Int[Tensor, "b n m m"],
    *,
    values: int,
) -> Float[Tensor, ""]:
    """The same as for words for structures that are clicked or boxed on one of the slices."""
    device, slices = label_map.device, label_map.shape[1]
    given = [(row, one) for row, one in enumerate(pointed) if one is not None]
    rows = [row for row, _ in given]
    index = torch.cat([row * slices + one.slice_index for row, one in given]).to(device)
    most = max(one.point_labels.shape[1] for _, one in given)
    points = torch.cat([F.pad(one.points_xy, (0, 0, 0, most - one.points_xy.shape[1])) for _, one in given])
    labels = torch.cat([F.pad(one.point_labels, (0, most - one.point_labels.shape[1]), value=-1) for _, one in given])
    prompts = SlicePrompts(points_xy=points.to(device), point_labels=labels.to(device))
    tokens = model.sam2.visual_token(features.select(index), prompts)
    assert tokens is not None
    counts = [len(one.numbers) for _, one in given]
    every = torch.split(tokens, counts)
    tokens_of = [every[rows.index(row)] if row in rows else tokens[:0] for row in range(len(pointed))]
    similarity = _only(_similarity(model, features, tokens_of), [len(each) for each in tokens_of])
    order = torch.zeros(len(pointed), values, dtype=torch.long)
    for row, one in given:
        order[row, one.numbers] = torch.arange(1, len(one.numbers) + 1)
    prompted = order.to(device).gather(1, label_map.flatten(1)).reshape(label_map.shape)
    return dense_loss(similarity[rows] + _term(model).mask_bias, prompted[rows])
