"""One object that is looked for in a volume: its prompts by slice, and its masks on all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from jaxtyping import Bool, Float
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from torch import Tensor

from medvlsam2.model.pixel_decoder.text_similarity import Pointing
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceMasks
from medvlsam2.pixel_grid import is_inside, rescaled

EMPTY_LOGIT: Final = -10.0
"""Mask logit where nothing was looked for."""
MIN_IOU: Final = 1e-3
"""A mask that is there counts for at least so much."""
BOX_CORNERS: Final = (2, 3)
"""Labels of a box's upper left and lower right corner."""

Lease = Callable[[], AbstractContextManager[None]]
"""Entered for each piece of work on the device; it may wait for others, and may end the whole by an error."""
Shown = Callable[[int, int, "ObjectMasks"], None]
"""Told of each slice as soon as a mask on it is there: number of the query, of the slice, the masks so far."""


@dataclass(frozen=True)
class SlicePrompt:
    """Clicks, box corners and mask of one object on one slice."""

    points_xy: tuple[tuple[float, float], ...]
    point_labels: tuple[int, ...]
    mask: Bool[Tensor, "m m"] | None = None
    """What the annotator has on this slice: alone it stays as it is, with clicks it is where they start from."""

    @property
    def is_settled(self) -> bool:
        """Whether the mask stays as it is."""
        return self.mask is not None and not self.point_labels

    def without_clicks(self) -> SlicePrompt:
        """Box corners and mask alone."""
        corners = [number for number, label in enumerate(self.point_labels) if label in BOX_CORNERS]
        return SlicePrompt(
            tuple(self.points_xy[number] for number in corners),
            tuple(self.point_labels[number] for number in corners),
            self.mask,
        )

    def inside(self, side: int) -> SlicePrompt | None:
        """Without clicks beside the object that lie outside of a slice of so many pixels; None where one on it does."""
        out = [not all(is_inside(place, side) for place in point) for point in self.points_xy]
        if any(outside and label for outside, label in zip(out, self.point_labels, strict=True)):
            return None
        kept = [number for number, outside in enumerate(out) if not outside]
        return SlicePrompt(
            tuple(self.points_xy[number] for number in kept),
            tuple(self.point_labels[number] for number in kept),
            self.mask,
        )


NO_CLICKS: Final = SlicePrompt((), ())


@dataclass(frozen=True)
class ObjectQuery:
    """One object to be found."""

    text_token: Float[Tensor, " c"] | None = None
    """Projected state at [SEG]; None without words."""
    prompts: dict[int, SlicePrompt] = field(default_factory=dict)
    """Geometric prompts by slice number; empty: the words alone must find it."""
    corrections: dict[int, SlicePrompt] = field(default_factory=dict)
    """Clicks beside the object on slices without any other prompt; they act where propagation passes."""
    first_slice: int = 0
    """Nothing is looked for below this slice …"""
    last_slice: int | None = None
    """… or above this one (None: the last of the volume)."""
    box_xyxy: tuple[float, float, float, float] | None = None
    """Edges of a box on these slices, in pixels of SAM 2's input; outside of it nothing is found."""

    @property
    def is_pointed(self) -> bool:
        """Whether a click on the object, a box or a mask says where it is, rather than words alone."""
        return any(prompt.mask is not None or set(prompt.point_labels) - {0} for prompt in self.prompts.values())

    @property
    def pointing(self) -> Pointing:
        """How it is asked for."""
        if not self.is_pointed:
            return "words"
        is_bounded = self.box_xyxy is not None or any(prompt.mask is not None for prompt in self.prompts.values())
        return "box" if is_bounded else "clicks"

    @property
    def has_clicks(self) -> bool:
        """Whether there is a click on the object or beside it."""
        drawn = (*self.prompts.values(), *self.corrections.values())
        return any(set(prompt.point_labels) - set(BOX_CORNERS) for prompt in drawn)

    def span(self, num_slices: int) -> range:
        """Slices on which it is looked for, in a volume of so many."""
        last = num_slices - 1 if self.last_slice is None else min(self.last_slice, num_slices - 1)
        return range(self.first_slice, last + 1)

    def without_clicks(self) -> ObjectQuery:
        """The same by box, mask and words alone."""
        kept = {number: prompt.without_clicks() for number, prompt in self.prompts.items()}
        return replace(
            self,
            prompts={number: one for number, one in kept.items() if one.point_labels or one.mask is not None},
            corrections={},
        )


@dataclass
class ObjectMasks:
    """One object over all slices of a volume."""

    mask_logits: Float[Tensor, "d m m"]
    object_score_logits: Float[Tensor, " d"]
    iou: Float[Tensor, " d"]
    conditioning_slices: tuple[int, ...]

    def put(self, number: int, masks: SliceMasks, row: int) -> None:
        """Store one slice."""
        self.mask_logits[number] = masks.gated_logits()[row, 0]
        self.object_score_logits[number] = masks.object_score_logits[row, 0]
        self.iou[number] = masks.iou[row, 0]

    def mix(self, number: int, masks: SliceMasks, row: int) -> None:
        """Fuse a slice with what is stored of it, by another direction: each counts for as much as it is sure of it.

        Whether the object is there is said by the mean of both object scores; the mask is the mean of those that
        hold it, weighted by object score x predicted IoU.
        """
        scores = torch.stack([self.object_score_logits[number], masks.object_score_logits[row, 0].float()])
        ious = torch.stack([self.iou[number], masks.iou[row, 0].float()])
        logits = torch.stack([self.mask_logits[number], masks.gated_logits()[row, 0].float()])
        sureness = torch.where(scores > 0, scores.sigmoid() * ious.clamp(min=MIN_IOU), 0)
        shares = sureness / sureness.sum().clamp(min=MIN_IOU)
        score = scores.mean()
        mixed = (shares[:, None, None] * logits).sum(dim=0)
        self.mask_logits[number] = torch.where(score > 0, mixed, NO_OBJ_SCORE)
        self.object_score_logits[number] = score
        self.iou[number] = torch.where(score > 0, (shares * ious).sum(), ious.mean())


def within(box_xyxy: tuple[float, float, float, float], mask_logits: Tensor, image_size: int) -> Tensor:
    """Mask logits with nothing outside of a box."""
    side = mask_logits.shape[-1]
    centres = rescaled(torch.arange(side, device=mask_logits.device), image_size / side)
    margin = image_size / side
    x0, y0, x1, y1 = box_xyxy
    columns = (centres > x0 - margin) & (centres < x1 + margin)
    rows = (centres > y0 - margin) & (centres < y1 + margin)
    return torch.where(rows[:, None] & columns, mask_logits, mask_logits.clamp(max=EMPTY_LOGIT))
