"""From prompts on a few slices to masks on all: conditioning slices, then memory in both directions.

A query with words alone has no slice yet, since most organs are absent from most slices: it gets the one on which its
words are seen best (:mod:`medvlsam2.model.word_seeds`). From there, and from every clicked slice, masks are propagated
up and down with the token repeated on each slice, until the object score says that the object has ended. Where the
decoder has no say in what words alone find, they need neither it nor memory (:mod:`medvlsam2.model.words_alone`). A box
limits its object on every slice. Queries of one shape run as one batch, each at its own place (see
:class:`SliceMemory`) and in its own view of the volume, up and down at once, with the result of each alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
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
from medvlsam2.model.word_seeds import seed_words
from medvlsam2.model.words_alone import find_by_words

GIVEN_LOGIT: Final = 10.0
"""Mask logit inside of a mask that was given (sam2: ``_use_mask_as_output``)."""
PATIENCE_SLICES: Final = 3
"""Propagation ends after so many slices in a row on which the object score is negative."""
BATCH: Final = 16
"""Objects that are decoded at once."""

CPU_SCORES: Final = 2**23
"""Scores of attention to the memory, of one object or several, that a processor's caches take at once."""


@torch.no_grad()
def segment_objects(
    sam2: VolumeSAM2,
    features: SliceSource | Sequence[SliceSource],
    queries: Sequence[ObjectQuery],
    *,
    stride: int = 1,
    turn: Turn = nullcontext,
    shown: Shown | None = None,
) -> list[ObjectMasks]:
    """Masks of several objects on every slice; prompted slices come first.

    Args:
        sam2: the pixel decoder, in evaluation mode.
        features: features of all slices of the volume; or for each query those of the view in which it is looked for.
        queries: what to look for.
        stride: distance of the slices on which words alone are tried.
        turn: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    sources = [features] * len(queries) if isinstance(features, SliceSource) else features
    results = [_empty(sam2, source) for source in sources]
    similarity = sam2.text_similarity
    named: dict[int, ObjectQuery] = {}
    if similarity is not None and similarity.is_enough_for_words:
        named = {n: query for n, query in enumerate(queries) if query.text_token is not None and not query.is_pointed}
        for numbers in _by_source(sources, named):
            asked, source = {number: queries[number] for number in numbers}, sources[numbers[0]]
            find_by_words(similarity, source, asked, results, stride=stride, turn=turn, shown=shown)
    others = {number: query for number, query in enumerate(queries) if number not in named}
    seeded = seed_words(sam2, sources, others, stride, turn)
    groups: dict[object, list[int]] = defaultdict(list)
    for number, query in seeded.items():
        groups[_signature(query)].append(number)

    def run(numbers: Sequence[int]) -> None:
        objects = [_Object(number, seeded[number], sources[number], results[number]) for number in numbers]
        _Batch(sam2, objects, turn=turn, shown=shown).run()

    for numbers in groups.values():
        in_parts(run, numbers, BATCH)
    for query, result in zip(queries, results, strict=True):
        if query.box_xyxy is not None:
            result.mask_logits = within(query.box_xyxy, result.mask_logits, sam2.image_size)
    return results


@dataclass(frozen=True)
class _Object:
    """One object of a request."""

    number: int
    query: ObjectQuery
    source: SliceSource
    """Slices on which it is looked for."""
    result: ObjectMasks

    @cached_property
    def start(self) -> int:
        """Its first prompted slice."""
        return min(self.query.prompts)


@dataclass(frozen=True)
class _Track:
    """One object's way through the volume in one direction."""

    row: int
    """Number of the object in its batch."""
    step: int
    """1 towards higher slice numbers, -1 towards lower ones."""


class _Batch:
    """Objects of one signature, propagated in step."""

    def __init__(self, sam2: VolumeSAM2, objects: Sequence[_Object], *, turn: Turn, shown: Shown | None) -> None:
        self.sam2 = sam2
        self.objects = objects
        self.device = objects[0].source.device
        self.turn = turn
        self.shown = shown
        first = objects[0]
        self.offsets = sorted(number - first.start for number in first.query.prompts)
        self.origin = max(len(one.source) for one in objects) + KEPT_SLICES
        self.memory = SliceMemory(self.origin)
        self.pointing = first.query.pointing
        with turn():
            self.tokens = self._all_tokens()

    def run(self) -> None:
        """Prompted slices first, then up and down: at once where both directions see the same prompted slices."""
        rows = range(len(self.objects))
        for offset in self.offsets:
            with self.turn():
                numbers = self._condition(offset)
            self._tell(rows, numbers)
        for one in self.objects:
            one.result.conditioning_slices = tuple(one.start + offset for offset in self.offsets)
        if len(self.offsets) == 1:
            self._propagate_all([_Track(row, step) for row in rows for step in (1, -1)])
            return
        for step in (1, -1):
            self._propagate_all([_Track(row, step) for row in rows])

    def _propagate_all(self, tracks: Sequence[_Track]) -> None:
        """As many at once as the device is fastest with: a processor with what fits its cache."""
        at_once = len(tracks)
        if self.device.type == "cpu":
            at_once = max(1, CPU_SCORES // (self.sam2.num_maskmem * self.sam2.sam_image_embedding_size**4))
        in_parts(self._propagate, tracks, at_once)

    def _condition(self, offset: int) -> list[int]:
        numbers = [one.start + offset for one in self.objects]
        prompts = self._prompts_at(offset)
        part = self._select(range(len(numbers)), numbers)
        masks = self.sam2.predict(
            self.sam2.without_memory(part),
            part,
            prompts,
            self.tokens,
            multimask=self.sam2.uses_multimask(prompts, conditioning=True),
            pointing=self.pointing,
        )
        if self.objects[0].query.prompts[numbers[0]].is_settled and prompts.mask_logits is not None:
            masks = _as_given(masks, prompts.mask_logits)
        prompted = prompts.points_xy is not None
        self.memory.conditioning[self.origin + offset] = self.sam2.remember(part, masks, prompted=prompted)
        for row, (one, number) in enumerate(zip(self.objects, numbers, strict=True)):
            one.result.put(number, masks, row)
        return numbers

    def _propagate(self, tracks: Sequence[_Track]) -> None:
        memory = self.memory if tracks[0].step > 0 else self.memory.mirrored()
        memory = memory.select(torch.tensor([track.row for track in tracks]))
        missed = dict.fromkeys(tracks, 0)
        distance = 0
        while tracks:
            distance += 1
            kept = [n for n, track in enumerate(tracks) if self._continues(track, distance, missed[track])]
            if len(kept) < len(tracks):
                memory = memory.select(torch.tensor(kept, dtype=torch.long))
                tracks = [tracks[n] for n in kept]
            if tracks and tracks[0].step * distance not in self.offsets:
                with self.turn():
                    numbers = self._track(tracks, memory, distance, missed)
                self._tell([track.row for track in tracks], numbers)

    def _track(
        self, tracks: Sequence[_Track], memory: SliceMemory, distance: int, missed: dict[_Track, int]
    ) -> list[int]:
        rows = [track.row for track in tracks]
        numbers = [self.objects[track.row].start + track.step * distance for track in tracks]
        part = self._select(rows, numbers)
        index = self.origin + distance
        clicks = [self.objects[row].query.corrections.get(n, NO_CLICKS) for row, n in zip(rows, numbers, strict=True)]
        prompts = self._gather(clicks, rows)
        masks = self.sam2.predict(
            self.sam2.with_memory(part, memory, index),
            part,
            prompts,
            None if self.tokens is None else self.tokens[rows],
            multimask=self.sam2.uses_multimask(prompts, conditioning=False),
            pointing=self.pointing,
        )
        memory.add(index, self.sam2.remember(part, masks, prompted=False))
        scores = masks.object_score_logits[:, 0].tolist()
        for n, (track, number) in enumerate(zip(tracks, numbers, strict=True)):
            self.objects[track.row].result.put(number, masks, n)
            missed[track] = 0 if scores[n] > 0 else missed[track] + 1
        return numbers

    def _tell(self, rows: Sequence[int], numbers: Sequence[int]) -> None:
        if self.shown is not None:
            for row, number in zip(rows, numbers, strict=True):
                self.shown(self.objects[row].number, number, self.objects[row].result)

    def _continues(self, track: _Track, distance: int, missed: int) -> bool:
        one = self.objects[track.row]
        if one.start + track.step * distance not in one.query.span(len(one.source)):
            return False
        ahead = track.step > 0 and distance <= self.offsets[-1]
        return not one.query.is_pointed or ahead or missed < PATIENCE_SLICES

    def _prompts_at(self, offset: int) -> SlicePrompts:
        clicks = [one.query.prompts[one.start + offset] for one in self.objects]
        return self._gather(clicks, range(len(clicks)))

    def _gather(self, chosen: Sequence[SlicePrompt], rows: Sequence[int]) -> SlicePrompts:
        """Clicks of the rows on one slice each; a model that draws prompts is shown their boxes there too."""
        device = self.device
        given = [prompt.mask for prompt in chosen if prompt.mask is not None]
        if given:
            return self._with_masks(chosen, torch.stack(given).to(device))
        points_xy = torch.tensor([prompt.points_xy for prompt in chosen], dtype=torch.float32, device=device)
        labels = torch.tensor([prompt.point_labels for prompt in chosen], dtype=torch.long, device=device)
        boxes = [box for row in rows if (box := self.objects[row].query.box_xyxy) is not None]
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

    def _select(self, rows: Sequence[int], numbers: Sequence[int]) -> SliceFeatures:
        """One slice of each row's own view."""
        return SliceFeatures.joined(
            [self.objects[row].source.select(torch.tensor([number])) for row, number in zip(rows, numbers, strict=True)]
        )

    def _all_tokens(self) -> Float[Tensor, "b c"] | None:
        """[SEG] tokens; without words what the prompted slices show; for boxes with words the mean of both."""
        given = [token for one in self.objects if (token := one.query.text_token) is not None]
        words = torch.stack(given) if given else None
        if words is not None and self.pointing != "box":
            return words
        seen = self._seen_tokens()
        if words is None or seen is None:
            return seen if words is None else words
        return (words + seen) / 2

    def _seen_tokens(self) -> Float[Tensor, "b c"] | None:
        """Mean of what the prompted slices show under their prompts; None where the model has no such tokens."""
        rows = range(len(self.objects))
        shown = [
            self.sam2.visual_token(
                self._select(rows, [one.start + offset for one in self.objects]), self._prompts_at(offset)
            )
            for offset in self.offsets
        ]
        tokens = [token for token in shown if token is not None]
        return torch.stack(tokens).mean(dim=0) if tokens else None


def _by_source(sources: Sequence[SliceSource], numbers: Iterable[int]) -> list[list[int]]:
    """Numbers of the objects that are looked for on the same slices."""
    found: dict[int, list[int]] = defaultdict(list)
    for number in numbers:
        found[id(sources[number])].append(number)
    return list(found.values())


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
