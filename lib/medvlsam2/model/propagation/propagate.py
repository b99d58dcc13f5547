"""From prompts on a few slices to masks on all: conditioning slices, then memory in both directions.

A query with words alone has no slice yet, since most organs are absent from most slices: it gets the one on which its
words are seen best (:mod:`medvlsam2.model.propagation.word_seeds`). From the first prompted slice masks are propagated
up, from the last one down, with the token repeated on each slice, until the object score says that the object has
ended; what lies between prompted slices is reached from both sides, and both results are fused
(:mod:`medvlsam2.model.propagation.batch`). Where the decoder has
no say in what words alone find, they need neither it nor memory (:mod:`medvlsam2.model.propagation.words_alone`). A box
limits its object on every slice. Queries of one shape run as one batch, each at its own place (see
:class:`SliceMemory`) and in its own view of the volume, with the result of each alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

import torch

from medvlsam2.model.device.memory_limit import in_parts
from medvlsam2.model.pixel_decoder.volume_sam2 import VolumeSAM2
from medvlsam2.model.propagation.batch import Batch
from medvlsam2.model.propagation.object_query import (
    BOX_CORNERS,
    EMPTY_LOGIT,
    Lease,
    ObjectMasks,
    ObjectQuery,
    Shown,
    SlicePrompt,
    within,
)
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.model.propagation.tracked_objects import TrackedObject, by_source
from medvlsam2.model.propagation.word_seeds import seed_words
from medvlsam2.model.propagation.words_alone import find_by_words

BATCH: Final = 16
"""Objects that are decoded at once."""


@torch.no_grad()
def segment_objects(
    sam2: VolumeSAM2,
    features: SliceSource | Sequence[SliceSource],
    queries: Sequence[ObjectQuery],
    *,
    stride: int = 1,
    lease: Lease = nullcontext,
    shown: Shown | None = None,
) -> list[ObjectMasks]:
    """Masks of several objects on every slice; prompted slices come first.

    Args:
        sam2: the pixel decoder, in evaluation mode.
        features: features of all slices of the volume; or for each query those of the view in which it is looked for.
        queries: what to look for.
        stride: distance of the slices on which words alone are tried.
        lease: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    sources = [features] * len(queries) if isinstance(features, SliceSource) else features
    results = [_empty(sam2, source) for source in sources]
    similarity = sam2.text_similarity
    named: dict[int, ObjectQuery] = {}
    if similarity is not None and similarity.is_enough_for_words:
        named = {n: query for n, query in enumerate(queries) if query.text_token is not None and not query.is_pointed}
        for numbers in by_source(sources, named):
            asked, source = {number: queries[number] for number in numbers}, sources[numbers[0]]
            find_by_words(similarity, source, asked, results, stride=stride, lease=lease, shown=shown)
    others = {number: query for number, query in enumerate(queries) if number not in named}
    seeded = seed_words(sam2, sources, others, stride, lease)
    groups: dict[object, list[int]] = defaultdict(list)
    for number, query in seeded.items():
        if query.prompts:
            groups[_signature(query)].append(number)

    def run(numbers: Sequence[int]) -> None:
        objects = [TrackedObject(number, seeded[number], sources[number], results[number]) for number in numbers]
        Batch(sam2, objects, lease=lease, shown=shown).run()

    for numbers in groups.values():
        in_parts(run, numbers, BATCH)
    for query, result in zip(queries, results, strict=True):
        if query.box_xyxy is not None:
            result.mask_logits = within(query.box_xyxy, result.mask_logits, sam2.image_size)
    return results


def _signature(query: ObjectQuery) -> object:
    """What two queries must share to run as one batch."""
    start = min(query.prompts)
    shapes = (
        tuple((number - start, _shape(prompt)) for number, prompt in sorted(prompts.items()))
        for prompts in (query.prompts, query.corrections)
    )
    return (*shapes, query.pointing, query.text_token is None, query.box_xyxy is None)


def _shape(prompt: SlicePrompt) -> tuple[int, int, bool]:
    """Clicks and corners, corners, and whether there is a mask."""
    corners = sum(label in BOX_CORNERS for label in prompt.point_labels)
    return len(prompt.point_labels), corners, prompt.mask is not None


def _empty(sam2: VolumeSAM2, features: SliceSource) -> ObjectMasks:
    d, m = len(features), sam2.mask_size
    device = features.device
    return ObjectMasks(
        mask_logits=torch.full((d, m, m), EMPTY_LOGIT, device=device),
        object_score_logits=torch.full((d,), EMPTY_LOGIT, device=device),
        iou=torch.zeros(d, device=device),
        conditioning_slices=(),
    )
