"""How much similarity to the words is enough: two biases, fitted on training cases after the last step.

Most structures are small and absent from most slices, so a model that is trained for an hour is shy: its logits tell
inside from outside, but their zero is not where the masks are best. As in Platt's scaling nothing else moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.volume_sam2 import SlicePrompts
from medvlsam2.training.cases import Case
from medvlsam2.training.samples import segmentation_sample
from medvlsam2.training.step import text_tokens

MAX_CASES = 40
SLICES_PER_CASE = 8
OBJECTS_PER_CASE = 5
BIASES = tuple(float(value) for value in np.arange(-6.0, 6.01, 0.25))


@torch.no_grad()
def calibrate(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case], *, seed: int) -> None:
    """Set the score bias to the best balanced accuracy of words alone, then the mask bias to the best mean Dice.

    An object's Dice is that of all its slices together, those without it among them, as a scan's is.

    Args:
        model: with the similarity term; left in evaluation mode.
        tokenizer: the model's.
        cases: training cases; up to 40 of them are looked at.
        seed: of the choice of cases, slices and structures.
    """
    similarity = model.sam2.text_similarity
    assert similarity is not None
    model.eval()
    rng = np.random.default_rng([seed, 4])
    usable = [case for case in cases if case.present_keys]
    chosen = [usable[int(i)] for i in rng.permutation(len(usable))[:MAX_CASES]]
    found = [_words_alone(model, tokenizer, case, rng) for case in chosen]
    logits, scores, truth = (torch.cat(parts) for parts in zip(*found, strict=True))
    present = truth.flatten(1).any(dim=1)
    if not present.any() or present.all():
        return
    similarity.score_bias.add_(score_bias := best_score_bias(scores, present))
    gated = torch.where((scores + score_bias > 0)[:, None, None], logits, -torch.inf)
    # An object's slices lie below each other in one tall slice: (o n) m m -> o (n m) m.
    shape = (-1, SLICES_PER_CASE * truth.shape[1], truth.shape[2])
    tall, tall_truth = (part.reshape(shape) for part in (gated, truth))
    seen = tall_truth.flatten(1).any(dim=1)
    similarity.mask_bias.add_(best_mask_bias(tall[seen], tall_truth[seen]))


def best_mask_bias(logits: Float[Tensor, "o h w"], truth: Bool[Tensor, "o h w"]) -> float:
    """The bias with the best mean Dice."""
    return max(BIASES, key=lambda bias: float(_dice(logits + bias > 0, truth).mean()))


def best_score_bias(scores: Float[Tensor, " p"], present: Bool[Tensor, " p"]) -> float:
    """The bias with the best mean of sensitivity and specificity."""
    return max(
        BIASES,
        key=lambda bias: float(
            (scores[present] + bias > 0).float().mean() + (scores[~present] + bias <= 0).float().mean()
        ),
    )


def _words_alone(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, case: Case, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mask logits, object scores and truth of every request on every slice drawn."""
    sample = segmentation_sample(
        case,
        rng,
        num_slices=SLICES_PER_CASE,
        num_objects=OBJECTS_PER_CASE,
        contiguous=False,
        sam2=model.config.sam2,
    )
    device = next(model.parameters()).device
    tokens, _ = text_tokens(model, tokenizer, [sample])
    features = model.sam2.encode_slices(sample.slices.to(device))
    objects = torch.arange(OBJECTS_PER_CASE, device=device).repeat_interleave(SLICES_PER_CASE)
    part = features.select(torch.arange(SLICES_PER_CASE, device=device).repeat(OBJECTS_PER_CASE))
    masks = model.sam2.predict(
        model.sam2.without_memory(part), part, SlicePrompts(), tokens[0][objects], multimask=False
    )
    return masks.mask_logits[:, 0].cpu(), masks.object_score_logits[:, 0].cpu(), sample.masks.flatten(0, 1)


def _dice(predicted: Bool[Tensor, "o h w"], truth: Bool[Tensor, "o h w"]) -> Float[Tensor, " o"]:
    common = (predicted & truth).flatten(1).sum(dim=1)
    total = predicted.flatten(1).sum(dim=1) + truth.flatten(1).sum(dim=1)
    return 2 * common / total
