"""Objects on their way through a volume: on which slice each of them is, and the features of those slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery
from medvlsam2.model.propagation.slice_source import SliceSource


@dataclass(frozen=True, eq=False)
class TrackedObject:
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
class Track:
    """One object's way through the volume in one direction."""

    object: TrackedObject
    row: int
    """Number of the object in its batch."""
    step: int
    """1 towards higher slice numbers, from the first prompted slice; -1 towards lower ones, from the last."""

    def slice_at(self, distance: int) -> int:
        """Number of the slice so many from where it starts."""
        return self.object.prompted[0 if self.step > 0 else -1] + self.step * distance


def select_slices(objects: Sequence[TrackedObject], numbers: Sequence[int]) -> SliceFeatures:
    """One slice of each object's own view; slices of one view are asked for together."""
    groups = by_source([one.source for one in objects], range(len(objects)))
    parts = [objects[rows[0]].source.select(torch.tensor([numbers[row] for row in rows])) for rows in groups]
    if len(parts) == 1:
        return parts[0]
    # the parts come view by view: back to the order of the objects
    order = [row for rows in groups for row in rows]
    return SliceFeatures.joined(parts).select(torch.tensor(order).argsort())


def by_source(sources: Sequence[SliceSource], numbers: Iterable[int]) -> list[list[int]]:
    """Numbers of the objects that are looked for on the same slices."""
    found: dict[int, list[int]] = defaultdict(list)
    for number in numbers:
        found[id(sources[number])].append(number)
    return list(found.values())
