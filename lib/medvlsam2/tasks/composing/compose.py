"""Composed objects in the label map of a request, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from medvlsam2.tasks.answers.results import ObjectResult, Voxels
from medvlsam2.tasks.objects.find import FoundObject
from medvlsam2.tasks.phrases.unclear import short
from medvlsam2.tasks.prompts import ObjectPrompt

PART_SHARE: Final = 0.9
"""A composed object is a part of another one if at least this share of it lies there: masks of names that overlap were
decided voxel by voxel, so a few voxels at the edge may belong to a third object."""


@dataclass(frozen=True)
class Merged:
    """A request's label map and results, with all composed objects."""

    label_map: UInt8[np.ndarray, "i j k"]
    objects: tuple[ObjectResult, ...]
    notes: tuple[str, ...]


def merge(
    label_map: UInt8[np.ndarray, "i j k"],
    results: Mapping[int, ObjectResult],
    composed: Mapping[int, FoundObject],
    prompts: Sequence[ObjectPrompt],
    voxels: Voxels,
) -> Merged:
    """Bring composed objects into a label map: the smaller one wins, and is a part of the larger one if it lies in it.

    Args:
        label_map: of the objects that were searched for, value n + 1 for prompt n.
        results: of these objects.
        composed: the other objects.
        prompts: of the request.
        voxels: of the scan, to measure with.
    """
    label_map = label_map.copy()
    members = {number: list(result.values) for number, result in results.items()}
    notes = []
    largest_first = sorted(composed, key=lambda number: -_size(composed[number]))
    for number in largest_first:
        kept = composed[number].mask
        members[number] = [number + 1]
        if kept is None:
            continue
        inside = kept.in_box()
        part = label_map[kept.place]
        for other, values in members.items():
            if other == number:
                continue
            share = float(np.isin(part[inside], values).mean())
            if share >= PART_SHARE:
                values.append(number + 1)
            elif share > 0:
                notes.append(_overlapping(prompts[other], prompts[number]))
        part[inside] = number + 1
    measuring = replace(voxels, label_map=label_map)
    told = {number: measuring.measured(result, members[number]) for number, result in results.items() if composed}
    told = {**results, **told}
    for number, found in composed.items():
        told[number] = _result(prompts[number], found, measuring, members[number])
    notes += [note for number, found in composed.items() for note in _told_of(prompts[number], found)]
    return Merged(label_map, tuple(told[number] for number in range(len(prompts))), tuple(notes))


def _size(found: FoundObject) -> int:
    return 0 if found.mask is None else found.mask.voxels


def _result(prompt: ObjectPrompt, found: FoundObject, voxels: Voxels, values: Sequence[int]) -> ObjectResult:
    """The result of a composed object; its slices are as sure as the least sure mask that it was made of."""
    sure = found.confidence
    held = [number for number, one in enumerate(voxels.of(values)) if one.any()]
    result = ObjectResult(
        name=prompt.display_name,
        present=False,
        confidence=sure,
        volume_ml=0.0,
        diameter_mm=0.0,
        slice_confidence=dict.fromkeys(held, sure),
        slice_to_fix=None,
        sureness=sure,
        understood_as=understood(found),
        expression=str(found.expression),
        reason=found.reason,
    )
    return voxels.measured(result, values)


def understood(found: FoundObject) -> str:
    """What a phrase means in plain English, with the names of what was found where the phrase holds other names."""
    meant = found.understood_as
    names = found.names
    return f"{meant}: {names}" if names and not all(thing.name in meant for thing in found.things) else meant


def _told_of(prompt: ObjectPrompt, found: FoundObject) -> list[str]:
    """Sentences about a composed object: how it was understood, why nothing is found, and what limits it."""
    shown = prompt.shown_words
    reason = [f"'{shown}': {found.reason}"] if found.reason else []
    read = [f"'{shown}' was understood as {understood(found)}."] if shown != str(found.expression) else []
    return [*read, *reason, *found.notes]


def _overlapping(other: ObjectPrompt, smaller: ObjectPrompt) -> str:
    return (
        f"'{short(smaller.display_name)}' and '{short(other.display_name)}' overlap: the voxels of both have the value "
        f"of '{short(smaller.display_name)}'."
    )
