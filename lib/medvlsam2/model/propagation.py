"""From prompts on a few slices to masks on all: conditioning slices, then memory in both directions.

A query with words alone has no slice yet, since most organs are absent from most slices: its [SEG] token is tried on
slices at a stride without memory, and the best slice (object score x predicted IoU x √area) becomes its conditioning
slice. From there, and from every clicked slice, masks are propagated up and down with the token repeated on each
slice, until the object score says that the object has ended. Where the decoder has no say in what words alone find,
they need neither it nor memory (:mod:`medvlsam2.model.words_alone`). A box limits its object on every slice. Queries
of one shape run as one batch, each at its own place (see :class:`SliceMemory`), with the result that each would have
alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medvlsam2.model.memory_limit import in_parts
from medvlsam2.model.object_query import (
    EMPTY_LOGIT,
    NO_CLICKS,
    ObjectMasks,
    ObjectQuery,
    Shown,
    SlicePrompt,
    Turn,
    within,
)
from medvlsam2.model.slice_memory import KEPT_SLICES, SliceMemory
from medvlsam2.model.slice_source import SliceSource
from medvlsam2.model.volume_sam2 import SliceFeatures, SliceMasks, SlicePrompts, VolumeSAM2
from medvlsam2.model.words_alone import find_by_words

GIVEN_LOGIT: Final = 10.0
"""Mask logit inside of a mask that was given (sam2: ``_use_mask_as_output``)."""
PATIENCE_SLICES: Final = 3
"""Propagation ends after so many slices in a row on which the object score is negative."""
BATCH: Final = 16
"""Slices, or objects, that are decoded at once."""

CPU_SCORES: Final = 2**23
"""Scores of attention to the memory, of one object or several, that a processor's caches take at once."""


@torch.no_grad()
def segment_objects(
    sam2: VolumeSAM2,
    features: SliceSource,
    queries: Sequence[ObjectQuery],
    *,
    stride: int = 1,
    turn: Turn = nullcontext,
    shown: Shown | None = None,
) -> list[ObjectMasks]:
    """Masks of several objects on every slice; prompted slices come first.

    Args:
        sam2: the pixel decoder, in evaluation mode.
        features: features of all slices of the volume.
        queries: what to look for.
        stride: distance of the slices on which words alone are tried.
        turn: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    results = [_empty(sam2, features) for _ in queries]
    similarity = sam2.text_similarity
    named: dict[int, ObjectQuery] = {}
    if similarity is not None and similarity.is_enough_for_words:
        named = {n: query for n, query in enumerate(queries) if query.text_token is not None and not query.is_pointed}
        find_by_words(similarity, features, named, results, stride=stride, turn=turn, shown=shown)
    others = {number: query for number, query in enumerate(queries) if number not in named}
    seeded = _seed_words(sam2, features, others, stride, turn)
    groups: dict[object, list[int]] = defaultdict(list)
    for number, query in seeded.items():
        groups[_signature(query)].append(number)

    def run(numbers: Sequence[int]) -> None:
        chosen = {number: seeded[number] for number in numbers}
        _Batch(sam2, features, chosen, [results[n] for n in numbers], turn=turn, shown=shown).run()

    for numbers in groups.values():
        in_parts(run, numbers, BATCH)
    for query, result in zip(queries, results, strict=True):
        if query.box_xyxy is not None:
            result.mask_logits = within(query.box_xyxy, result.mask_logits, sam2.image_size)
    return results


@torch.no_grad()
def scan(
    sam2: VolumeSAM2,
    features: SliceSource,
    tokens: Float[Tensor, "k c"],
    numbers: Sequence[int],
    turn: Turn = nullcontext,
) -> list[SliceMasks]:
    """What each token finds on each of some slices, without memory; one entry per token, batched over slices."""

    def look(part_numbers: Sequence[int], token: Float[Tensor, " c"]) -> SliceMasks:
        prompts = SlicePrompts()
        with turn():
            part = features.select(torch.tensor(part_numbers, device=token.device))
            return sam2.predict(
                sam2.without_memory(part),
                part,
                prompts,
                token.expand(len(part), -1),
                multimask=sam2.uses_multimask(prompts, conditioning=True),
            )

    return [_concatenate(in_parts(partial(look, token=token), numbers, BATCH)) for token in tokens]


def _seed_words(
    sam2: VolumeSAM2, features: SliceSource, queries: Mapping[int, ObjectQuery], stride: int, turn: Turn
) -> dict[int, ObjectQuery]:
    """Give queries of words alone their conditioning slice, and leave out those of which nothing was found."""
    seeded = dict(queries)
    for number, query in queries.items():
        if query.prompts or query.text_token is None:
            continue
        span = query.span(len(features))
        numbers = list(span[::stride])
        masks = scan(sam2, features, query.text_token[None], numbers, turn)[0]
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


class _Batch:
    """Objects of one signature, propagated in step."""

    def __init__(
        self,
        sam2: VolumeSAM2,
        features: SliceSource,
        queries: dict[int, ObjectQuery],
        results: list[ObjectMasks],
        *,
        turn: Turn,
        shown: Shown | None,
    ) -> None:
        self.sam2 = sam2
        self.features = features
        self.numbers = list(queries)
        self.queries = list(queries.values())
        self.results = results
        self.turn = turn
        self.shown = shown
        self.starts = [min(query.prompts) for query in self.queries]
        self.offsets = sorted(number - self.starts[0] for number in self.queries[0].prompts)
        self.origin = len(features) + KEPT_SLICES
        self.memory = SliceMemory(self.origin)
        self.pointing = self.queries[0].pointing
        with turn():
            self.tokens = self._all_tokens()

    def run(self) -> None:
        """Prompted slices first, then up, then down."""
        for offset in self.offsets:
            with self.turn():
                numbers = self._condition(offset)
            self._tell(range(len(numbers)), numbers)
        for result, start in zip(self.results, self.starts, strict=True):
            result.conditioning_slices = tuple(start + offset for offset in self.offsets)
        rows = list(range(len(self.queries)))
        for start in range(0, len(rows), self._at_once()):
            some = rows[start : start + self._at_once()]
            for step in (1, -1):
                self._propagate(some, step)

    def _at_once(self) -> int:
        """How many objects are propagated together: a processor is fastest with what fits its cache."""
        if self.features.device.type != "cpu":
            return len(self.queries)
        return max(1, CPU_SCORES // (self.sam2.num_maskmem * self.sam2.sam_image_embedding_size**4))

    def _condition(self, offset: int) -> list[int]:
        numbers = [start + offset for start in self.starts]
        prompts = self._prompts_at(offset)
        part = self._select(numbers)
        masks = self.sam2.predict(
            self.sam2.without_memory(part),
            part,
            prompts,
            self.tokens,
            multimask=self.sam2.uses_multimask(prompts, conditioning=True),
            pointing=self.pointing,
        )
        settled = [self.queries[row].prompts[number].is_settled for row, number in enumerate(numbers)]
        if settled[0] and prompts.mask_logits is not None:
            masks = _as_given(masks, prompts.mask_logits)
        prompted = prompts.points_xy is not None
        self.memory.conditioning[self.origin + offset] = self.sam2.remember(part, masks, prompted=prompted)
        for row, number in enumerate(numbers):
            self.results[row].put(number, masks, row)
        return numbers

    def _propagate(self, rows: list[int], step: int) -> None:
        memory = self.memory.select(torch.tensor(rows, dtype=torch.long))
        missed = [0] * len(self.queries)
        distance = 0
        while rows:
            distance += step
            kept = [i for i, row in enumerate(rows) if self._continues(row, distance, missed[row])]
            if len(kept) < len(rows):
                memory = memory.select(torch.tensor(kept, dtype=torch.long))
                rows = [rows[i] for i in kept]
            if rows and distance not in self.offsets:
                with self.turn():
                    numbers = self._track(rows, memory, distance, step, missed)
                self._tell(rows, numbers)

    def _track(self, rows: list[int], memory: SliceMemory, distance: int, step: int, missed: list[int]) -> list[int]:
        numbers = [self.starts[row] + distance for row in rows]
        part = self._select(numbers)
        reverse = step < 0
        index = self.origin + distance
        clicks = [self.queries[row].corrections.get(n, NO_CLICKS) for row, n in zip(rows, numbers, strict=True)]
        prompts = self._gather(clicks, rows)
        masks = self.sam2.predict(
            self.sam2.with_memory(part, memory, index, reverse=reverse),
            part,
            prompts,
            None if self.tokens is None else self.tokens[rows],
            multimask=self.sam2.uses_multimask(prompts, conditioning=False),
            pointing=self.pointing,
        )
        memory.add(index, self.sam2.remember(part, masks, prompted=False), reverse=reverse)
        for i, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            self.results[row].put(number, masks, i)
            missed[row] = 0 if masks.object_score_logits[i, 0] > 0 else missed[row] + 1
        return numbers

    def _tell(self, rows: Sequence[int], numbers: Sequence[int]) -> None:
        if self.shown is not None:
            for row, number in zip(rows, numbers, strict=True):
                self.shown(self.numbers[row], number, self.results[row])

    def _continues(self, row: int, distance: int, missed: int) -> bool:
        query = self.queries[row]
        number = self.starts[row] + distance
        if number not in query.span(len(self.features)):
            return False
        ahead = distance > 0 and distance <= self.offsets[-1]
        return not query.is_pointed or ahead or missed < PATIENCE_SLICES

    def _prompts_at(self, offset: int) -> SlicePrompts:
        numbers = [start + offset for start in self.starts]
        clicks = [query.prompts[n] for query, n in zip(self.queries, numbers, strict=True)]
        return self._gather(clicks, range(len(numbers)))

    def _gather(self, chosen: Sequence[SlicePrompt], rows: Sequence[int]) -> SlicePrompts:
        """Clicks of the rows on one slice each; a model that draws prompts is shown their boxes there too."""
        device = self.features.device
        given = [prompt.mask for prompt in chosen if prompt.mask is not None]
        if given:
            return self._with_masks(chosen, torch.stack(given).to(device))
        points_xy = torch.tensor([prompt.points_xy for prompt in chosen], dtype=torch.float32, device=device)
        labels = torch.tensor([prompt.point_labels for prompt in chosen], dtype=torch.long, device=device)
        boxes = [box for row in rows if (box := self.queries[row].box_xyxy) is not None]
        drawn = None
        if boxes and self.sam2.drawn_prompts and 2 not in chosen[0].point_labels:
            corners = torch.tensor(boxes, dtype=torch.float32, device=device).reshape(-1, 2, 2)
            corner_labels = torch.tensor([2, 3], device=device).expand(len(boxes), 2)
            shown = (torch.cat([corners, points_xy.reshape(len(boxes), -1, 2)], dim=1), corner_labels)
            drawn = self.sam2.draw(shown[0], torch.cat([shown[1], labels], dim=1))
        if not chosen[0].point_labels:
            return SlicePrompts(mask_logits=drawn)
        return SlicePrompts(points_xy=points_xy, point_labels=labels, mask_logits=drawn)

    def _with_masks(self, chosen: Sequence[SlicePrompt], masks: Bool[Tensor, "b m m"]) -> SlicePrompts:
        logits = GIVEN_LOGIT * (2.0 * masks[:, None] - 1)
        if not chosen[0].point_labels:
            return SlicePrompts(mask_logits=logits)
        points_xy = torch.tensor([prompt.points_xy for prompt in chosen], dtype=torch.float32, device=masks.device)
        labels = torch.tensor([prompt.point_labels for prompt in chosen], dtype=torch.long, device=masks.device)
        if self.sam2.drawn_prompts:
            logits = logits + self.sam2.draw(points_xy, labels)
        return SlicePrompts(points_xy=points_xy, point_labels=labels, mask_logits=logits)

    def _select(self, numbers: list[int]) -> SliceFeatures:
        return self.features.select(torch.tensor(numbers, device=self.features.device))

    def _all_tokens(self) -> Float[Tensor, "b c"] | None:
        """[SEG] tokens; without words what the prompted slices show; for boxes with words the mean of both."""
        given = [token for query in self.queries if (token := query.text_token) is not None]
        words = torch.stack(given) if given else None
        if words is not None and self.pointing != "box":
            return words
        seen = self._seen_tokens()
        if words is None or seen is None:
            return seen if words is None else words
        return (words + seen) / 2

    def _seen_tokens(self) -> Float[Tensor, "b c"] | None:
        """Mean of what the prompted slices show under their prompts; None where the model has no such tokens."""
        shown = [
            self.sam2.visual_token(self._select([start + offset for start in self.starts]), self._prompts_at(offset))
            for offset in self.offsets
        ]
        tokens = [token for token in shown if token is not None]
        return torch.stack(tokens).mean(dim=0) if tokens else None


def _signature(query: ObjectQuery) -> object:
    """What two queries must share to run as one batch."""
    start = min(query.prompts)
    shapes = (
        tuple(
            (number - start, len(prompt.point_labels), prompt.mask is None)
            for number, prompt in sorted(prompts.items())
        )
        for prompts in (query.prompts, query.corrections)
    )
    return (*shapes, query.pointing, query.text_token is None, query.box_xyxy is None)


def _as_given(masks: SliceMasks, given: Float[Tensor, "b 1 m m"]) -> SliceMasks:
    """The masks that were given, with the object pointers that the decoder made of them."""
    there = (given > 0).flatten(1).any(dim=1, keepdim=True)
    return SliceMasks(
        mask_logits=given.float(),
        iou=torch.ones_like(masks.iou),
        object_score_logits=torch.where(there, GIVEN_LOGIT, -GIVEN_LOGIT).to(masks.object_score_logits.dtype),
        obj_ptr=masks.obj_ptr,
    )


def _empty(sam2: VolumeSAM2, features: SliceSource) -> ObjectMasks:
    d, m = len(features), sam2.mask_size
    device = features.device
    return ObjectMasks(
        mask_logits=torch.full((d, m, m), EMPTY_LOGIT, device=device),
        object_score_logits=torch.full((d,), EMPTY_LOGIT, device=device),
        iou=torch.zeros(d, device=device),
        conditioning_slices=(),
    )


def _concatenate(parts: Sequence[SliceMasks]) -> SliceMasks:
    return SliceMasks(
        mask_logits=torch.cat([part.mask_logits for part in parts]),
        iou=torch.cat([part.iou for part in parts]),
        object_score_logits=torch.cat([part.object_score_logits for part in parts]),
        obj_ptr=torch.cat([part.obj_ptr for part in parts]),
    )
