"""Where words alone are first seen: each [SEG] token is tried on slices at a stride, without memory.

The best slice (object score x predicted IoU x √area) becomes the object's conditioning slice, from which propagation
sets out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from medvlsam2.model.device.memory_limit import in_parts
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceMasks, SlicePrompts, VolumeSAM2
from medvlsam2.model.propagation.object_query import Lease, ObjectQuery, SlicePrompt
from medvlsam2.model.propagation.slice_source import SliceSource

SLICES: Final = 16
"""Slices that are decoded at once."""


@torch.no_grad()
def masks_without_memory(
    sam2: VolumeSAM2,
    features: SliceSource,
    tokens: Float[Tensor, "k c"],
    numbers: Sequence[int],
    lease: Lease = nullcontext,
) -> list[SliceMasks]:
    """What each token finds on each of some slices, without memory; one entry per token, batched over slices."""

    def decode(part_numbers: Sequence[int], token: Float[Tensor, " c"]) -> SliceMasks:
        prompts = SlicePrompts()
        with lease():
            part = features.select(torch.tensor(part_numbers, device=token.device))
            return sam2.predict(
                sam2.without_memory(part),
                part,
                prompts,
                token.expand(len(part), -1),
                multimask=sam2.uses_multimask(prompts, conditioning=True),
            )

    return [_concatenate(in_parts(partial(decode, token=token), numbers, SLICES)) for token in tokens]


def seed_words(
    sam2: VolumeSAM2, sources: Sequence[SliceSource], queries: Mapping[int, ObjectQuery], stride: int, lease: Lease
) -> dict[int, ObjectQuery]:
    """Give queries of words alone their conditioning slice, and leave out those of which nothing was found.

    Args:
        sam2: the pixel decoder.
        sources: for each object of a request the slices on which it is looked for.
        queries: some of the objects, by number.
        stride: distance of the slices on which words alone are tried.
        lease: entered for each step.
    """
    seeded = dict(queries)
    for number, query in queries.items():
        if query.prompts or query.text_token is None:
            continue
        span = query.span(len(sources[number]))
        numbers = list(span[::stride])
        masks = masks_without_memory(sam2, sources[number], query.text_token[None], numbers, lease)[0]
        scores = seed_scores(masks)
        if float(scores.max()) <= 0:
            del seeded[number]
            continue
        best = numbers[int(scores.argmax())]
        present = [numbers[i] for i in torch.nonzero(scores > 0).flatten().tolist()]
        seeded[number] = replace(
            query,
            prompts={best: query.corrections.get(best, SlicePrompt((), ()))},
            corrections={number: prompt for number, prompt in query.corrections.items() if number != best},
            first_slice=max(query.first_slice, present[0] - stride),
            last_slice=min(span[-1], present[-1] + stride),
        )
    return seeded


def seed_scores(masks: SliceMasks) -> Float[Tensor, " d"]:
    """How good each slice is as conditioning slice; 0 where the object is absent or its mask empty."""
    area = (masks.mask_logits > 0).flatten(1).sum(dim=1).float()
    score = masks.object_score_logits[:, 0]
    return torch.where(score > 0, score.sigmoid() * masks.iou[:, 0].clamp(min=0) * area.sqrt(), torch.zeros_like(area))


def _concatenate(parts: Sequence[SliceMasks]) -> SliceMasks:
    return SliceMasks(
        mask_logits=torch.cat([part.mask_logits for part in parts]),
        iou=torch.cat([part.iou for part in parts]),
        object_score_logits=torch.cat([part.object_score_logits for part in parts]),
        obj_ptr=torch.cat([part.obj_ptr for part in parts]),
    )
