"""What the pixel decoder is told of a batch of objects: their clicks, boxes, masks and [SEG] tokens as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medvlsam2.model.pixel_decoder.volume_sam2 import SliceMasks, SlicePrompts, VolumeSAM2
from medvlsam2.model.propagation.object_query import SlicePrompt
from medvlsam2.model.propagation.tracked_objects import TrackedObject, select_slices

GIVEN_LOGIT: Final = 10.0
"""Mask logit inside of a mask that was given (sam2: ``_use_mask_as_output``)."""


def prompts_on(objects: Sequence[TrackedObject], numbers: Sequence[int]) -> list[SlicePrompt]:
    """The prompt of each object on its slice."""
    return [one.query.prompts[number] for one, number in zip(objects, numbers, strict=True)]


def gather(sam2: VolumeSAM2, objects: Sequence[TrackedObject], chosen: Sequence[SlicePrompt]) -> SlicePrompts:
    """Clicks of objects on one slice each; a model that draws prompts is shown their boxes there too.

    Args:
        sam2: the pixel decoder.
        objects: of one shape.
        chosen: for each object its prompt on its slice.
    """
    device = objects[0].source.device
    given = [prompt.mask for prompt in chosen if prompt.mask is not None]
    if given:
        return _with_masks(sam2, chosen, torch.stack(given).to(device))
    points_xy = torch.tensor([prompt.points_xy for prompt in chosen], dtype=torch.float32, device=device)
    labels = torch.tensor([prompt.point_labels for prompt in chosen], dtype=torch.long, device=device)
    # a box limits its object on all its slices, so it is drawn on those without its corners as well
    boxes = [box for one in objects if (box := one.query.box_xyxy) is not None]
    drawn = None
    if boxes and sam2.drawn_prompts and 2 not in chosen[0].point_labels:
        corners = torch.tensor(boxes, dtype=torch.float32, device=device).reshape(-1, 2, 2)
        corner_labels = torch.tensor([2, 3], device=device).expand(len(boxes), 2)
        shown = (torch.cat([corners, points_xy.reshape(len(boxes), -1, 2)], dim=1), corner_labels)
        drawn = sam2.draw(shown[0], torch.cat([shown[1], labels], dim=1))
    if not chosen[0].point_labels:
        return SlicePrompts(mask_logits=drawn)
    return SlicePrompts(points_xy=points_xy, point_labels=labels, mask_logits=drawn)


def _with_masks(sam2: VolumeSAM2, chosen: Sequence[SlicePrompt], masks: Bool[Tensor, "b m m"]) -> SlicePrompts:
    logits = GIVEN_LOGIT * (2.0 * masks[:, None] - 1)
    if not chosen[0].point_labels:
        return SlicePrompts(mask_logits=logits)
    points_xy = torch.tensor([prompt.points_xy for prompt in chosen], dtype=torch.float32, device=masks.device)
    labels = torch.tensor([prompt.point_labels for prompt in chosen], dtype=torch.long, device=masks.device)
    if sam2.drawn_prompts:
        logits = logits + sam2.draw(points_xy, labels)
    return SlicePrompts(points_xy=points_xy, point_labels=labels, mask_logits=logits)


def tokens_of(sam2: VolumeSAM2, objects: Sequence[TrackedObject]) -> Float[Tensor, "b c"] | None:
    """[SEG] tokens; without words what the prompted slices show; for boxes with words the mean of both."""
    given = [token for one in objects if (token := one.query.text_token) is not None]
    words = torch.stack(given) if given else None
    if words is not None and objects[0].query.pointing != "box":
        return words
    seen = _seen_tokens(sam2, objects)
    if words is None or seen is None:
        return seen if words is None else words
    return (words + seen) / 2


def _seen_tokens(sam2: VolumeSAM2, objects: Sequence[TrackedObject]) -> Float[Tensor, "b c"] | None:
    """Mean of what the prompted slices show under their prompts; None where the model has no such tokens."""
    places = [[one.prompted[place] for one in objects] for place in range(len(objects[0].prompted))]
    shown = [
        sam2.visual_token(select_slices(objects, numbers), gather(sam2, objects, prompts_on(objects, numbers)))
        for numbers in places
    ]
    tokens = [token for token in shown if token is not None]
    return torch.stack(tokens).mean(dim=0) if tokens else None


def as_given(masks: SliceMasks, given: Float[Tensor, "b 1 m m"]) -> SliceMasks:
    """The masks that were given, with the object pointers that the decoder made of them."""
    there = (given > 0).flatten(1).any(dim=1, keepdim=True)
    return SliceMasks(
        mask_logits=given.float(),
        iou=torch.ones_like(masks.iou),
        object_score_logits=torch.where(there, GIVEN_LOGIT, -GIVEN_LOGIT).to(masks.object_score_logits.dtype),
        obj_ptr=masks.obj_ptr,
    )
