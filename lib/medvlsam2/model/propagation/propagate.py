"""From prompts on a few slices to masks on all: conditioning slices, then memory in both directions.

A query with words alone has no slice yet, since most organs are absent from most slices: it gets the one on which its
words are seen best (:mod:`medvlsam2.model.propagation.word_seeds`). From the first prompted slice masks are propagated
up, from the last one down, with the token repeated on each slice, until the object score says that the object has
ended; what lies between prompted slices is reached from both sides, and both opinions are fused. Where the decoder has
no say in what words alone find, they need neither it nor memory (:mod:`medvlsam2.model.propagation.words_alone`). A box
limits its object on every slice. Queries of one shape run as one batch, each at its own place (see
:class:`SliceMemory`) and in its own view of the volume, with the result of each alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medvlsam2.model.device.memory_limit import in_parts
from medvlsam2.model.pixel_decoder.slice_memory import KEPT_SLICES, SliceMemory
from medvlsam2.model.pixel_decoder.volume_sam2 import (
    SliceFeatures,
    SliceMasks,
    SlicePrompts,
    VolumeSAM2,
)
from medvlsam2.model.propagation.object_query import (
    BOX_CORNERS,
    EMPTY_LOGIT,
    NO_CLICKS,
    Lease,
    ObjectMasks,
    ObjectQuery,
    Shown,
    SlicePrompt,
    within,
)
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.model.propagation.word_seeds import seed_words
from medvlsam2.model.propagation.words_alone import find_by_words

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
        for numbers in _by_source(sources, named):
            asked, source = {number: queries[number] for number in numbers}, sources[numbers[0]]
            find_by_words(similarity, source, asked, results, stride=stride, lease=lease, shown=shown)
    others = {number: query for number, query in enumerate(queries) if number not in named}
    seeded = seed_words(sam2, sources, others, stride, lease)
    groups: dict[object, list[int]] = defaultdict(list)
    for number, query in seeded.items():
        if query.prompts:
            groups[_signature(query)].append(number)

    def run(numbers: Sequence[int]) -> None:
        objects = [_Object(number, seeded[number], sources[number], results[number]) for number in numbers]
        _Batch(sam2, objects, lease=lease, shown=shown).run()

    for numbers in groups.values():
        in_parts(run, numbers, BATCH)
    for query, result in zip(queries, results, strict=True):
        if query.box_xyxy is not None:
            result.mask_logits = within(query.box_xyxy, result.mask_logits, sam2.image_size)
    return results


@dataclass(frozen=True, eq=False)
class _Object:
    """One object of a request."""

    number: int
    query: ObjectQuery
    source: SliceSource
    """Slices on which it is looked for."""
    result: ObjectMasks

    @cached_property
    def prompted(self) -> tuple[int, ...]:
        """Its prompted slices, in order."""
        return tuple(sorted(self.query.prompts))

    def span(self) -> range:
        """Slices on which it may be."""
        return self.query.span(len(self.source))


@dataclass(frozen=True, eq=False)
class _Track:
    """One object's way through the volume in one direction."""

    object: _Object
    row: int
    """Number of the object in its batch."""
    step: int
    """1 towards higher slice numbers, from the first prompted slice; -1 towards lower ones, from the last."""

    def slice_at(self, distance: int) -> int:
        """Number of the slice so many from where it starts."""
        return self.object.prompted[0 if self.step > 0 else -1] + self.step * distance


@dataclass(frozen=True)
class _Second:
    """A second opinion on a slice."""

    object: _Object
    number: int
    masks: SliceMasks
    row: int


class _Batch:
    """Objects of one signature, propagated in step."""

    def __init__(self, sam2: VolumeSAM2, objects: Sequence[_Object], *, lease: Lease, shown: Shown | None) -> None:
        self.sam2 = sam2
        self.objects = objects
        self.device = objects[0].source.device
        self.lease = lease
        self.shown = shown
        self.query = objects[0].query
        """Of the first, whose shape all have."""
        self.offsets = [number - objects[0].prompted[0] for number in objects[0].prompted]
        self.origin = max(len(one.source) for one in objects) + KEPT_SLICES
        self.memory = SliceMemory(self.origin)
        self.pointing = self.query.pointing
        with lease():
            self.tokens = self._all_tokens()

    def run(self) -> None:
        """Prompted slices first, then up and down: at once where both directions come across the same prompts."""
        for place in range(len(self.offsets)):
            with self.lease():
                self._condition(place)
            self._tell(self.objects, [one.prompted[place] for one in self.objects])
        for one in self.objects:
            one.result.conditioning_slices = one.prompted
        tracks = [_Track(one, row, step) for row, one in enumerate(self.objects) for step in (1, -1)]
        if len(self.offsets) == 1 and not self.query.corrections:
            self._propagate_all(tracks)
            return
        for step in (1, -1):
            self._propagate_all([track for track in tracks if track.step == step])

    def _propagate_all(self, tracks: Sequence[_Track]) -> None:
        """As many at once as the device is fastest with: a processor with what fits its cache."""
        at_once = len(tracks)
        if self.device.type == "cpu":
            at_once = max(1, CPU_SCORES // (self.sam2.num_maskmem * self.sam2.sam_image_embedding_size**4))
        in_parts(self._propagate, tracks, at_once)

    def _condition(self, place: int) -> None:
        numbers = [one.prompted[place] for one in self.objects]
        prompts = self._gather(self.objects, _prompts(self.objects, numbers))
        part = _select(self.objects, numbers)
        masks = self.sam2.predict(
            self.sam2.without_memory(part),
            part,
            prompts,
            self.tokens,
            multimask=self.sam2.uses_multimask(prompts, conditioning=True),
            pointing=self.pointing,
        )
        if self.query.prompts[numbers[0]].is_settled and prompts.mask_logits is not None:
            masks = _as_given(masks, prompts.mask_logits)
        index, prompted = self.origin + self.offsets[place], prompts.points_xy is not None
        self.memory.conditioning[index] = self.sam2.remember(part, masks, prompted=prompted)
        for row, (one, number) in enumerate(zip(self.objects, numbers, strict=True)):
            one.result.put(number, masks, row)

    def _propagate(self, tracks: Sequence[_Track]) -> None:
        memory = self.memory if tracks[0].step > 0 else self.memory.mirrored(self.offsets[-1])
        memory = memory.select(torch.tensor([track.row for track in tracks]))
        missed = dict.fromkeys(tracks, 0)
        seconds: list[_Second] = []
        distance = 0
        while tracks:
            distance += 1
            kept = [n for n, track in enumerate(tracks) if self._continues(track, distance, missed[track])]
            if len(kept) < len(tracks):
                memory = memory.select(torch.tensor(kept, dtype=torch.long))
                tracks = [tracks[n] for n in kept]
            if tracks and self.origin + distance not in memory.conditioning:
                with self.lease():
                    masks = self._track(tracks, memory, distance)
                    seconds += self._keep(tracks, distance, masks, missed)
                self._tell([track.object for track in tracks], [track.slice_at(distance) for track in tracks])
        for second in seconds:
            second.object.result.mix(second.number, second.masks, second.row)

    def _track(self, tracks: Sequence[_Track], memory: SliceMemory, distance: int) -> SliceMasks:
        objects, numbers = [track.object for track in tracks], [track.slice_at(distance) for track in tracks]
        part = _select(objects, numbers)
        index = self.origin + distance
        clicks = [one.query.corrections.get(number, NO_CLICKS) for one, number in zip(objects, numbers, strict=True)]
        prompts = self._gather(objects, clicks)
        masks = self.sam2.predict(
            self.sam2.with_memory(part, memory, index),
            part,
            prompts,
            None if self.tokens is None else self.tokens[[track.row for track in tracks]],
            multimask=self.sam2.uses_multimask(prompts, conditioning=False),
            pointing=self.pointing,
        )
        memory.add(index, self.sam2.remember(part, masks, prompted=False))
        return masks

    def _keep(
        self, tracks: Sequence[_Track], distance: int, masks: SliceMasks, missed: dict[_Track, int]
    ) -> Iterator[_Second]:
        """Store what was found, and hand out what lies between prompted slices, which the other direction has seen."""
        scores = masks.object_score_logits[:, 0].tolist()
        for row, track in enumerate(tracks):
            missed[track] = 0 if scores[row] > 0 else missed[track] + 1
            if track.step < 0 and distance < self.offsets[-1]:
                yield _Second(track.object, track.slice_at(distance), masks, row)
            else:
                track.object.result.put(track.slice_at(distance), masks, row)

    def _tell(self, objects: Sequence[_Object], numbers: Sequence[int]) -> None:
        if self.shown is not None:
            for one, number in zip(objects, numbers, strict=True):
                self.shown(one.number, number, one.result)

    def _continues(self, track: _Track, distance: int, missed: int) -> bool:
        if track.slice_at(distance) not in track.object.span():
            return False
        between = distance <= self.offsets[-1]
        return not track.object.query.is_pointed or between or missed < PATIENCE_SLICES

    def _gather(self, objects: Sequence[_Object], chosen: Sequence[SlicePrompt]) -> SlicePrompts:
        """Clicks of objects on one slice each; a model that draws prompts is shown their boxes there too."""
        device = self.device
        given = [prompt.mask for prompt in chosen if prompt.mask is not None]
        if given:
            return self._with_masks(chosen, torch.stack(given).to(device))
        points_xy = torch.tensor([prompt.points_xy for prompt in chosen], dtype=torch.float32, device=device)
        labels = torch.tensor([prompt.point_labels for prompt in chosen], dtype=torch.long, device=device)
        boxes = [box for one in objects if (box := one.query.box_xyxy) is not None]
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
        places = [[one.prompted[place] for one in self.objects] for place in range(len(self.offsets))]
        shown = [
            self.sam2.visual_token(
                _select(self.objects, numbers), self._gather(self.objects, _prompts(self.objects, numbers))
            )
            for numbers in places
        ]
        tokens = [token for token in shown if token is not None]
        return torch.stack(tokens).mean(dim=0) if tokens else None


def _select(objects: Sequence[_Object], numbers: Sequence[int]) -> SliceFeatures:
    """One slice of each object's own view; slices of one view are asked for together."""
    groups = _by_source([one.source for one in objects], range(len(objects)))
    parts = [objects[rows[0]].source.select(torch.tensor([numbers[row] for row in rows])) for rows in groups]
    if len(parts) == 1:
        return parts[0]
    order = [row for rows in groups for row in rows]
    return SliceFeatures.joined(parts).select(torch.tensor(order).argsort())


def _prompts(objects: Sequence[_Object], numbers: Sequence[int]) -> list[SlicePrompt]:
    return [one.query.prompts[number] for one, number in zip(objects, numbers, strict=True)]


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
        tuple((number - start, _shape(prompt)) for number, prompt in sorted(prompts.items()))
        for prompts in (query.prompts, query.corrections)
    )
    return (*shapes, query.pointing, query.text_token is None, query.box_xyxy is None)


def _shape(prompt: SlicePrompt) -> tuple[int, int, bool]:
    """Clicks and corners, corners, and whether there is a mask."""
    corners = sum(label in BOX_CORNERS for label in prompt.point_labels)
    return len(prompt.point_labels), corners, prompt.mask is not None


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
