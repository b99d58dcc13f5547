"""Calibration after the last step: the weight of the mask decoder beside the similarity, and the thresholds of both.

Most structures are small, and most slices do not show them, so a model that is trained for an hour answers "absent" too
often: its logits separate inside from outside, but the best masks are not at logit 0. The mask decoder of a model
without parents learns from scratch what SAM 2 already knows, and adds as much noise as knowledge. As in Platt scaling,
only these few numbers are fitted; no weight of the model changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data import vocabulary
from medvlsam2.data.language import chat
from medvlsam2.data.overlap import dice
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.text_similarity import evidence
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SlicePrompts
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.samples import draw_keys
from medvlsam2.training.data.simulated_prompts import PromptKind
from medvlsam2.training.steps.pixels.masks import mask_sample, sample_prompts, sample_tokens
from medvlsam2.training.steps.turns import request_tokens
from medvlsam2.transforms.prepare import three_channels
from medvlsam2.transforms.slice_choice import evenly_spaced

MAX_CASES = 40
SLICES_PER_SCAN = 24
"""Slices of a whole scan, evenly spaced, on which the model is asked by words alone."""
SLICES_PER_CASE = 8
"""Slices on which the model is asked by boxes and clicks."""
OBJECTS_PER_CASE = 5
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
BIASES = tuple(float(value) for value in np.arange(-6.0, 6.01, 0.25))
POINTED: tuple[PromptKind, ...] = ("box", "click", "text+box")


@dataclass(frozen=True)
class Logits:
    """The model's logits for pairs of an object and a slice; axis o counts the pairs."""

    decoded: Float[Tensor, "o m m"]
    similarity: Float[Tensor, "o m m"]
    """With the pixel's bias."""
    scores: Float[Tensor, " o"]
    truth: Bool[Tensor, "o m m"]


@torch.no_grad()
def calibrate(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case], *, seed: int) -> None:
    """Fit the threshold that says whether a slice shows an object, then the decoder's weight and the pixels' threshold.

    The threshold of slices is the one with the best balanced accuracy for words alone; it is fitted once with the
    decoder's object score and once without it. The weight and the threshold of pixels are those with the best Dice.

    For words alone, Dice is taken over slices of the whole scan, most of which do not show the object: if only slices
    near the object were used, wrong pixels elsewhere would cost nothing. For boxes and clicks, Dice is taken on the
    slice of the prompt.

    Args:
        model: with the similarity term; left in evaluation mode.
        tokenizer: the model's.
        cases: training cases; up to 40 of them are looked at, real scans where there are any.
        seed: of the choice of cases, slices, structures and prompts.
    """
    similarity = model.sam2.text_similarity
    assert similarity is not None
    model.eval()
    similarity.forget_calibration()
    rng = np.random.default_rng([seed, 4])
    usable = [case for case in cases if case.present_keys]
    usable = [case for case in usable if not case.is_phantom] or usable
    chosen = [usable[int(i)] for i in rng.permutation(len(usable))[:MAX_CASES]]
    words = [one for case in chosen for one in words_on_scan(model, tokenizer, case, rng)]
    scores = torch.cat([one.scores for one in words])
    present = torch.cat([one.truth.flatten(1).any(dim=1) for one in words])
    if not present.any() or present.all():
        return
    similarity.score_bias.add_(score_bias := best_score_bias(scores, present))
    seen = torch.cat([evidence((one.similarity - similarity.mask_bias)[:, None])[:, 0] for one in words])
    similarity.evidence_shift.fill_(best_score_bias(seen + similarity.score_bias, present))
    objects = [tall(one, score_bias) for one in words if one.truth.any()]
    similarity.calibrate(best_combination(*zip(*objects, strict=True)), pointed=False)
    pointed = [part for case in chosen for part in _by_pointing(model, tokenizer, case, rng)]
    each = [(p.decoded[n], p.similarity[n], p.truth[n]) for p in pointed for n in range(len(p.truth))]
    similarity.calibrate(best_combination(*zip(*each, strict=True)), pointed=True)


def best_combination(
    decoded: Sequence[Float[Tensor, "_ _"]],
    similarity: Sequence[Float[Tensor, "_ _"]],
    truth: Sequence[Bool[Tensor, "_ _"]],
) -> tuple[float, float]:
    """The weight of what the decoder says and the bias with the best mean Dice over some objects."""
    objects = list(zip(decoded, similarity, truth, strict=True))
    pairs = ((weight, bias) for weight in WEIGHTS for bias in BIASES)
    return max(pairs, key=lambda pair: mean_dice(objects, *pair))


def mean_dice(objects: Sequence[tuple[Tensor, Tensor, Tensor]], weight: float, bias: float) -> float:
    """Of objects (decoded, similarity, truth) with a weight of what the decoder says and a bias."""
    found = ((weight * decoded + similar + bias > 0, truth) for decoded, similar, truth in objects)
    return float(np.mean([dice(predicted.numpy(), truth.numpy()) for predicted, truth in found]))


def best_score_bias(scores: Float[Tensor, " p"], present: Bool[Tensor, " p"]) -> float:
    """The bias with the best mean of sensitivity and specificity."""
    return max(
        BIASES,
        key=lambda bias: float(
            (scores[present] + bias > 0).float().mean() + (scores[~present] + bias <= 0).float().mean()
        ),
    )


def words_on_scan(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, case: Case, rng: np.random.Generator
) -> list[Logits]:
    """What words alone say of some structures of one window, on slices of the whole scan.

    Args:
        model: without calibration.
        tokenizer: the model's.
        case: with a structure to segment.
        rng: draws the structures.
    """
    present = [key for key in case.keys if key in case.present_keys]
    window = vocabulary.STRUCTURES[draw_keys(present, rng, 1)[0]].window
    keys = draw_keys([key for key in present if vocabulary.STRUCTURES[key].window == window], rng, OBJECTS_PER_CASE)
    numbers = np.array(evenly_spaced(case.num_slices, SLICES_PER_SCAN))
    device = next(model.parameters()).device
    slices = three_channels(case.channels_hu(numbers, model.config.sam2), window)
    features = model.sam2.encode_slices(slices.to(device))
    whole = case.whole_volume()[None].to(device)
    asked = [chat.segmentation_question(vocabulary.STRUCTURES[key].name) for key in keys]
    tokens, _ = request_tokens(model, tokenizer, model.encode_volume(whole), [asked])
    found = []
    for key, token in zip(keys, tokens, strict=True):
        truth = case.structure_mask(key)
        assert truth is not None
        shown = torch.from_numpy(truth[numbers])
        found.append(_logits(model, features, shown, token.expand(len(numbers), -1), SlicePrompts()))
    return found


def _by_pointing(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, case: Case, rng: np.random.Generator
) -> Iterator[Logits]:
    """Some objects on slices that hold them, by each way of pointing."""
    sample = mask_sample(
        case,
        rng,
        num_slices=SLICES_PER_CASE,
        num_objects=OBJECTS_PER_CASE,
        contiguous=False,
        sam2=model.config.sam2,
    )
    shown = sample.masks.flatten(2).any(dim=2)
    if not shown.any():
        return
    device = next(model.parameters()).device
    tokens = sample_tokens(model, tokenizer, [sample])[0][0]
    objects, slices = torch.nonzero(shown).T.to(device)
    features = model.sam2.encode_slices(sample.slices.to(device)).select(slices)
    for kind in POINTED:
        prompts = sample_prompts(kind, sample.masks[shown], rng, model.sam2.image_size, device)
        token = tokens[objects] if kind.startswith("text") else model.sam2.visual_token(features, prompts)
        yield _logits(model, features, sample.masks[shown], token, prompts)


def _logits(
    model: MedVLSAM2,
    features: SliceFeatures,
    truth: Bool[Tensor, "o m m"],
    token: Float[Tensor, "o c"] | None,
    prompts: SlicePrompts,
) -> Logits:
    """Of one object on each slice."""
    sam2 = model.sam2
    masks = sam2.predict(sam2.without_memory(features), features, prompts, token, multimask=False)
    similarity = torch.zeros_like(masks.mask_logits)
    if token is not None and sam2.text_similarity is not None:
        similarity = sam2.text_similarity(token, features.levels).float() + sam2.text_similarity.mask_bias
    return Logits(
        decoded=(masks.mask_logits - similarity)[:, 0].cpu(),
        similarity=similarity[:, 0].cpu(),
        scores=masks.object_score_logits[:, 0].float().cpu(),
        truth=truth.cpu(),
    )


def tall(one: Logits, score_bias: float) -> tuple[Tensor, Tensor, Tensor]:
    """Slices of one object below each other, empty where its score says that it is not there."""
    gate = torch.where(one.scores + score_bias > 0, 0.0, -torch.inf)[:, None, None]
    return one.decoded.flatten(0, 1), (one.similarity + gate).flatten(0, 1), one.truth.flatten(0, 1)
