"""Steps in which objects are followed along neighbouring slices of one scan, with SAM 2's memory (stage 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.slice_memory import SliceMemory
from medvlsam2.model.pixel_decoder.text_similarity import Pointing
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SliceMasks, SlicePrompts, VolumeSAM2
from medvlsam2.training.data.simulated_prompts import draw_prompt_kind
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.pixels.losses import MaskLoss
from medvlsam2.training.steps.pixels.masks import (
    ObjectStep,
    mask_sample,
    masks_loss,
    sample_prompts,
)

_FIRST: Final = 64
"""Slice number that the memory has for the first slice of a clip.

The memory knows only distances between slices, so any number does that is not less than the slices of a clip."""


@dataclass(frozen=True)
class ClipStep(ObjectStep):
    """Objects along neighbouring slices, prompted on the first slice and remembered on the others."""

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> ClipStep:
        """One clip of one case."""
        sample = mask_sample(
            source.draw_case(rng, real_share=source.config.real_share),
            rng,
            num_slices=source.config.clip_slices,
            num_objects=source.config.objects_per_case,
            contiguous=True,
            sam2=source.sam2,
        )
        return cls((sample,))

    def losses(
        self,
        model: MedVLSAM2,
        features: SliceFeatures,
        tokens: Float[Tensor, "b k c"],
        truth: Bool[Tensor, "b k n m m"],
        rng: np.random.Generator,
    ) -> MaskLoss:
        """Of all slices of the clips."""
        return _clip_losses(model, features, tokens, truth, rng)


def _clip_losses(
    model: MedVLSAM2,
    features: SliceFeatures,
    tokens: Float[Tensor, "b k c"],
    truth: Bool[Tensor, "b k n m m"],
    rng: np.random.Generator,
) -> MaskLoss:
    """A prompt of one kind on the first slice of each clip; a box holds the object on all slices of the clip.

    Clicks and boxes need an object to be shown on the first slice. Where none is, words ask for all of them.
    """
    kind = draw_prompt_kind(rng)
    visible = torch.nonzero(truth[:, :, 0].flatten(2).any(dim=2))
    if kind != "text" and len(visible) == 0:
        kind = "text"
    pairs = visible if kind != "text" else torch.nonzero(torch.ones(truth.shape[:2], dtype=torch.bool))
    b, k = pairs.T
    target = truth[b, k]  # pairs n m m
    is_box = kind.endswith("box")
    shown = target.any(dim=1) if is_box else target[:, 0]
    prompts = sample_prompts(kind, shown, rng, model.sam2.image_size, tokens.device)
    b, k, target = (part.to(tokens.device) for part in (b, k, target))
    token = tokens[b, k] if kind.startswith("text") else None
    first, length = b * truth.shape[2], truth.shape[2]
    outputs = list(_track(model.sam2, features, first, length=length, prompts=prompts, token=token, is_box=is_box))
    return masks_loss(outputs, [target[:, n] for n in range(truth.shape[2])])


def _track(
    sam2: VolumeSAM2,
    features: SliceFeatures,
    first: Int[Tensor, " p"],
    *,
    length: int,
    prompts: SlicePrompts,
    token: Float[Tensor, "p c"] | None,
    is_box: bool,
) -> Iterator[SliceMasks]:
    """Masks of each object slice by slice, as in propagation.

    Args:
        sam2: the pixel decoder.
        features: of all clips' slices.
        first: number of each object's first slice in ``features``.
        length: slices of a clip.
        prompts: on the first slice.
        token: the words' tokens; None: what the clicks or the box show gives them.
        is_box: whether the prompts are boxes, which are drawn on the other slices too.
    """
    memory = SliceMemory(_FIRST)
    part = features.select(first)
    token = sam2.visual_token(part, prompts) if token is None else token
    later = SlicePrompts(mask_logits=_drawn(sam2, prompts) if is_box else None)
    pointing: Pointing = "words" if prompts.points_xy is None else "box"
    masks = sam2.predict(sam2.without_memory(part), part, prompts, token, multimask=False)
    memory.conditioning[_FIRST] = sam2.remember(part, masks, prompted=prompts.points_xy is not None)
    yield masks
    for step in range(1, length):
        part = features.select(first + step)
        embedding = sam2.with_memory(part, memory, _FIRST + step)
        masks = sam2.predict(embedding, part, later, token, multimask=False, pointing=pointing)
        memory.add(_FIRST + step, sam2.remember(part, masks, prompted=False))
        yield masks


def _drawn(sam2: VolumeSAM2, prompts: SlicePrompts) -> Float[Tensor, "p 1 m m"] | None:
    """The box as a drawn mask prompt; None where the model draws no prompts."""
    if not sam2.drawn_prompts or prompts.points_xy is None or prompts.point_labels is None:
        return None
    return sam2.draw(prompts.points_xy, prompts.point_labels)
