"""Losses from logits and labels.

``mask_loss`` has SAM 2's losses with SAM 2's weights (sam2: training/loss_fns.py, configs/sam2.1_training) and one loss
more. Mask and IoU terms count only where the object is on its slice; the object score is trained on every slice. Most
structures cover a hundredth of a slice, and with focal and dice loss alone a decoder that learns from scratch keeps
predicting the empty mask. The balanced cross-entropy, in which the object has a fixed share whatever its size, prevents
that (docs/experiments.md, "A mask decoder that learns from scratch").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

# SAM 2's own weights and focal parameters.
FOCAL_WEIGHT = 20.0
DICE_WEIGHT = 1.0
IOU_WEIGHT = 1.0
OBJECT_SCORE_WEIGHT = 1.0
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
BALANCED_WEIGHT = 1.0
"""Weight of the balanced cross-entropy, which SAM 2 does not have: the same as that of the dice loss."""
OBJECT_SHARE = 0.3
"""Share of an object's pixels in the balanced cross-entropy; the other pixels of the slice have the rest."""
PIXEL_BALANCE = 0.5
"""Exponent of the weights that would give each structure the same share of the dense loss.

With 1, models draw small structures too large; with 0, they miss them."""
MAX_PIXEL_WEIGHT = 60.0
"""Largest weight of a pixel in the dense loss, where a pixel of the background has weight 1."""
ALIGNMENT_TEMPERATURE = 0.07
"""CLIP's first value (arXiv:2103.00020, section 2.5)."""


@dataclass(frozen=True)
class MaskLoss:
    """The mask losses, each averaged over the batch, and their weighted sum."""

    focal: Float[Tensor, ""]
    dice: Float[Tensor, ""]
    balanced: Float[Tensor, ""]
    iou: Float[Tensor, ""]
    object_score: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The weighted sum of all parts, which training minimises."""
        return (
            FOCAL_WEIGHT * self.focal
            + DICE_WEIGHT * self.dice
            + BALANCED_WEIGHT * self.balanced
            + IOU_WEIGHT * self.iou
            + OBJECT_SCORE_WEIGHT * self.object_score
        )


def mask_loss(
    mask_logits: Float[Tensor, "b m m"],
    iou: Float[Tensor, " b"],
    object_score_logits: Float[Tensor, " b"],
    target: Bool[Tensor, "b m m"],
) -> MaskLoss:
    """Losses of a batch of (object, slice) pairs.

    Args:
        mask_logits: mask logits, not gated by the object score.
        iou: predicted IoU of each mask. Empty masks do not train it: their true IoU is 0, and the sigmoid of the
            prediction has no gradient there to leave 0 again.
        object_score_logits: positive where the model thinks the object is on the slice.
        target: true masks; all False where the object is absent.
    """
    truth = target.float()
    present = target.flatten(1).any(dim=1).float()
    count = present.sum().clamp(min=1.0)
    focal = (_focal(mask_logits, truth) * present).sum() / count
    dice = (_dice(mask_logits, truth) * present).sum() / count
    balanced = (_balanced(mask_logits, truth) * present).sum() / count
    drawn = (mask_logits > 0).flatten(1).any(dim=1).float() * present
    iou_error = ((iou - _true_iou(mask_logits, target)).abs() * drawn).sum() / drawn.sum().clamp(min=1.0)
    score = F.binary_cross_entropy_with_logits(object_score_logits, present)
    return MaskLoss(focal, dice, balanced, iou_error, score)


def dense_loss(similarity: Float[Tensor, "b n k m m"], label_map: Int[Tensor, "b n m m"]) -> Float[Tensor, ""]:
    """Cross-entropy and dice of many structures at once: each pixel belongs to one of them, or to the background.

    The cross-entropy is over the structures' similarities and a background with the constant logit 0. The dice takes
    each structure by itself, as requests do: the similarity should be positive inside and negative elsewhere, like a
    mask logit. A spinal cord covers a thousandth of a slice, so the pixels of small structures have larger weights: the
    root (``PIXEL_BALANCE``) of the weights that would give all structures equal parts of a fixed share
    (``OBJECT_SHARE``) of the cross-entropy. The mean over scans is returned.

    Args:
        similarity: similarity of the k-th structure's [SEG] token to every pixel; minus infinity where a scan has
            fewer structures than others.
        label_map: 0 for none, k + 1 for the k-th structure.
    """
    logits = F.pad(similarity, (0, 0, 0, 0, 1, 0))
    truth = F.one_hot(label_map, logits.shape[2]).movedim(-1, 2).float()
    counts = truth.sum(dim=(1, 3, 4))  # b k+1
    seen = (counts[:, 1:] > 0).float()
    number = seen.sum(dim=1, keepdim=True).clamp(min=1.0)
    equal = OBJECT_SHARE / (1 - OBJECT_SHARE) * counts[:, :1] / (number * counts[:, 1:].clamp(min=1.0))
    weights = torch.cat([torch.ones_like(counts[:, :1]), equal.pow(PIXEL_BALANCE).clamp(1.0, MAX_PIXEL_WEIGHT)], dim=1)
    pixels = weights.gather(1, label_map.flatten(1))
    missed = -logits.log_softmax(dim=2).gather(2, label_map[:, :, None])
    entropy = (pixels * missed.flatten(1)).sum(dim=1) / pixels.sum(dim=1)
    probability = similarity.sigmoid()
    overlap = (probability * truth[:, :, 1:]).sum(dim=(1, 3, 4))
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=(1, 3, 4)) + counts[:, 1:] + 1)
    return (entropy + (dice * seen).sum(dim=1) / number[:, 0]).mean()


def finding_loss(similarity: Float[Tensor, "f n m m"], masks: Bool[Tensor, "f n m m"]) -> Float[Tensor, ""]:
    """Balanced cross-entropy of all findings, plus the mean dice of the findings that are there.

    Findings are not part of :func:`dense_loss`, since a finding lies in a structure that is asked for as well, and a
    pixel may belong to both.

    Args:
        similarity: similarity of the f-th finding's [SEG] token to every pixel.
        masks: the mask of each finding; all False for a finding that is not there.
    """
    logits, truth = (part.flatten(1, 2).float() for part in (similarity, masks))  # f n·m m
    present = truth.flatten(1).any(dim=1).float()
    dice = (_dice(logits, truth) * present).sum() / present.sum().clamp(min=1.0)
    return _balanced(logits, truth).mean() + dice


def alignment_loss(first: Float[Tensor, "k c"], second: Float[Tensor, "k c"]) -> Float[Tensor, ""]:
    """InfoNCE in both directions: two wordings of one structure give similar tokens, two structures different ones.

    A language model that was never trained to tell requests apart has the same state at every [SEG], and mask losses
    teach it the difference only slowly. Reference: arXiv:2103.00020 (CLIP), section 2.3.
    """
    similarity = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / ALIGNMENT_TEMPERATURE
    target = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def _focal(logits: Float[Tensor, "b m m"], truth: Float[Tensor, "b m m"]) -> Float[Tensor, " b"]:
    return sigmoid_focal_loss(logits, truth, FOCAL_ALPHA, FOCAL_GAMMA).flatten(1).mean(dim=1)


def _dice(logits: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    probability = logits.sigmoid().flatten(1)
    flat = truth.flatten(1)
    return 1 - (2 * (probability * flat).sum(dim=1) + 1) / (probability.sum(dim=1) + flat.sum(dim=1) + 1)


def _balanced(logits: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    cross_entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    inside = (cross_entropy * truth).flatten(1).sum(dim=1) / truth.flatten(1).sum(dim=1).clamp(min=1.0)
    outside = 1 - truth
    beside = (cross_entropy * outside).flatten(1).sum(dim=1) / outside.flatten(1).sum(dim=1).clamp(min=1.0)
    return OBJECT_SHARE * inside + (1 - OBJECT_SHARE) * beside


@torch.no_grad()
def _true_iou(logits: Float[Tensor, "b m m"], target: Bool[Tensor, "b m m"]) -> Float[Tensor, " b"]:
    predicted = logits > 0
    intersection = (predicted & target).flatten(1).sum(dim=1).float()
    union = (predicted | target).flatten(1).sum(dim=1).float()
    return intersection / union.clamp(min=1.0)
