"""Objects whose prompts have one shape, propagated together: each gets what it would get alone.

The prompted slices are decoded first and stay in memory as conditioning slices. From the first of them masks are
propagated up, from the last one down. Slices between two prompts are reached from both sides; what the second
direction finds there is kept apart until it has ended, and then fused with what the first one found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from medvlsam2.model.device.memory_limit import in_parts
from medvlsam2.model.pixel_decoder.slice_memory import KEPT_SLICES, SliceMemory
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceMasks, VolumeSAM2
from medvlsam2.model.propagation.batch_prompts import as_given, gather, prompts_on, tokens_of
from medvlsam2.model.propagation.object_query import NO_CLICKS, Lease, Shown
from medvlsam2.model.propagation.tracked_objects import Track, TrackedObject, select_slices

PATIENCE_SLICES: Final = 3
"""Propagation ends after so many slices in a row on which the object score is negative."""
CPU_SCORES: Final = 2**23
"""Scores of attention to the memory, of one object or several, that a processor's caches take at once."""


@dataclass(frozen=True)
class SecondOpinion:
    """A second opinion on a slice."""

    object: TrackedObject
    number: int
    masks: SliceMasks
    row: int


class Batch:
    """Objects of one signature, propagated in step."""

    def __init__(
        self, sam2: VolumeSAM2, objects: Sequence[TrackedObject], *, lease: Lease, shown: Shown | None
    ) -> None:
        self.sam2 = sam2
        self.objects = objects
        self.device = objects[0].source.device
        self.lease = lease
        self.shown = shown
        self.query = objects[0].query
        """Of the first, whose shape all have."""
        # One memory serves all objects, each at its own place in the volume: it counts slices from each object's first
        # prompted one, which has the index `origin` in it. Others of a batch are prompted at the same distances.
        self.offsets = [number - objects[0].prompted[0] for number in objects[0].prompted]
        self.origin = max(len(one.source) for one in objects) + KEPT_SLICES
        self.memory = SliceMemory(self.origin)
        self.pointing = self.query.pointing
        with lease():
            self.tokens = tokens_of(sam2, objects)

    def run(self) -> None:
        """Prompted slices first, then up and down: at once where both directions come across the same prompts."""
        for place in range(len(self.offsets)):
            with self.lease():
                self._condition(place)
            self._tell(self.objects, [one.prompted[place] for one in self.objects])
        for one in self.objects:
            one.result.conditioning_slices = one.prompted
        tracks = [Track(one, row, step) for row, one in enumerate(self.objects) for step in (1, -1)]
        if len(self.offsets) == 1 and not self.query.corrections:
            self._propagate_all(tracks)
            return
        for step in (1, -1):
            self._propagate_all([track for track in tracks if track.step == step])

    def _propagate_all(self, tracks: Sequence[Track]) -> None:
        """As many at once as the device is fastest with: a processor with what fits its cache."""
        at_once = len(tracks)
        if self.device.type == "cpu":
            at_once = max(1, CPU_SCORES // (self.sam2.num_maskmem * self.sam2.sam_image_embedding_size**4))
        in_parts(self._propagate, tracks, at_once)

    def _condition(self, place: int) -> None:
        """Decode the n-th prompted slice of each object, and remember it for all others."""
        numbers = [one.prompted[place] for one in self.objects]
        prompts = gather(self.sam2, self.objects, prompts_on(self.objects, numbers))
        part = select_slices(self.objects, numbers)
        masks = self.sam2.predict(
            self.sam2.without_memory(part),
            part,
            prompts,
            self.tokens,
            multimask=self.sam2.uses_multimask(prompts, conditioning=True),
            pointing=self.pointing,
        )
        if self.query.prompts[numbers[0]].is_settled and prompts.mask_logits is not None:
            masks = as_given(masks, prompts.mask_logits)
        index, prompted = self.origin + self.offsets[place], prompts.points_xy is not None
        self.memory.conditioning[index] = self.sam2.remember(part, masks, prompted=prompted)
        for row, (one, number) in enumerate(zip(self.objects, numbers, strict=True)):
            one.result.put(number, masks, row)

    def _propagate(self, tracks: Sequence[Track]) -> None:
        """Slice by slice away from the prompts, in one direction or both; tracks that have ended leave the batch.

        Going down is going up in a mirrored memory, so both directions count their distance alike.
        """
        memory = self.memory if tracks[0].step > 0 else self.memory.mirrored(self.offsets[-1])
        memory = memory.select(torch.tensor([track.row for track in tracks]))
        missed = dict.fromkeys(tracks, 0)
        seconds: list[SecondOpinion] = []
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

    def _track(self, tracks: Sequence[Track], memory: SliceMemory, distance: int) -> SliceMasks:
        """Decode one slice of each track by what is remembered, and remember it too."""
        objects, numbers = [track.object for track in tracks], [track.slice_at(distance) for track in tracks]
        part = select_slices(objects, numbers)
        index = self.origin + distance
        clicks = [one.query.corrections.get(number, NO_CLICKS) for one, number in zip(objects, numbers, strict=True)]
        prompts = gather(self.sam2, objects, clicks)
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
        self, tracks: Sequence[Track], distance: int, masks: SliceMasks, missed: dict[Track, int]
    ) -> Iterator[SecondOpinion]:
        """Store what was found, and hand out what lies between prompted slices, which the other direction has seen."""
        scores = masks.object_score_logits[:, 0].tolist()
        for row, track in enumerate(tracks):
            missed[track] = 0 if scores[row] > 0 else missed[track] + 1
            if track.step < 0 and distance < self.offsets[-1]:
                yield SecondOpinion(track.object, track.slice_at(distance), masks, row)
            else:
                track.object.result.put(track.slice_at(distance), masks, row)

    def _tell(self, objects: Sequence[TrackedObject], numbers: Sequence[int]) -> None:
        if self.shown is not None:
            for one, number in zip(objects, numbers, strict=True):
                self.shown(one.number, number, one.result)

    def _continues(self, track: Track, distance: int, missed: int) -> bool:
        """Whether a track goes on to the slice at this distance.

        An object that is named alone may have gaps and is looked for on all its slices; one that is pointed at ends
        where it is missed some slices in a row, but never between two prompts.
        """
        if track.slice_at(distance) not in track.object.span():
            return False
        between = distance <= self.offsets[-1]
        return not track.object.query.is_pointed or between or missed < PATIENCE_SLICES
