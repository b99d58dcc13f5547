"""From the masks that were found to the label map on the scan's grid, and to what is told of each object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from medvlsam2.tasks.answers.geometry import (
    EMPTY_BOX_SHARE,
    box_share,
    heed_clicked_voxels,
    keep_corrected,
    keep_to_boxes,
    mark_by_intensity,
    what_places,
)
from medvlsam2.tasks.answers.results import ObjectResult, Voxels, result_of, union_of, unsure
from medvlsam2.tasks.asking.words_and_geometry import WordsAndGeometry
from medvlsam2.tasks.masks.search import Found

PARTS_NAMED: Final = 4
"""At most so many parts of a whole are named in a sentence."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request."""

    label_map: UInt8[np.ndarray, "i j k"]
    objects: tuple[ObjectResult, ...]
    notes: tuple[str, ...]
    """Sentences for the annotator, in the order in which they came up."""


def outcome(search: WordsAndGeometry, found: Mapping[int, Found]) -> Outcome:
    """Compose the label map, and tell what is in it.

    The order matters: what is marked by brightness may not lie outside of a box, corrected slices win over everything
    that the model found, and clicked voxels win over all.

    Args:
        search: the searches of the request.
        found: what they found, by the object's number.
    """
    volume, record, asked = search.session.volume, search.session.prepared.record, search.asked
    masks = {number: (one.masks.mask_logits, one.record) for number, one in found.items()}
    label_map = asked.composition.label_map(masks, volume.hu)
    keep_to_boxes(label_map, asked.prompts, slice_axis=record.axes[0])
    told = _Told(search, found, label_map)
    told.leave_nothing_empty()
    keep_corrected(label_map, asked.prompts, slice_axis=record.axes[0])
    heed_clicked_voxels(label_map, asked.prompts)
    search.job.clock.lap("to_source_grid")
    objects = told.results()
    notes = (*asked.notes, *search.notes, *told.notes, *search.judge.notes, *_of_wholes(search), *_in_air(search))
    return Outcome(label_map, objects, notes)


@dataclass
class _Told:
    """What is told of the objects of a request."""

    search: WordsAndGeometry
    found: Mapping[int, Found]
    label_map: UInt8[np.ndarray, "i j k"]
    notes: list[str] = field(default_factory=list)
    marked: set[int] = field(default_factory=set)
    """Objects that the model itself did not find."""

    def leave_nothing_empty(self) -> None:
        """Mark by brightness what is pointed at and was not found."""
        for number in self.found:
            placed = self.search.asked.objects[number]
            prompt = placed.prompt
            is_in_air = placed.grid.outside and prompt.box_ijk is None
            if not prompt.is_placed or prompt.mask is not None or is_in_air or self._is_there(number):
                continue
            mark_by_intensity(self.label_map, self.search.session.volume, prompt, number + 1)
            self.marked.add(number)
            self.search.recognised[number] = None
            self.notes.append(
                f"The model finds nothing at the {what_places(prompt)} of '{prompt.shown_name}': what is marked was "
                "found by its brightness alone. Check it on every slice."
            )

    def _is_there(self, number: int) -> bool:
        box_ijk = self.search.asked.objects[number].prompt.box_ijk
        if box_ijk is not None and box_share(self.found[number], box_ijk) < EMPTY_BOX_SHARE:
            return False
        return bool((self.label_map == number + 1).any())

    def results(self) -> tuple[ObjectResult, ...]:
        """Of every object in order. A whole that is nothing but its parts is told by the results of these parts."""
        search, prompts, composition = self.search, self.search.asked.prompts, self.search.asked.composition
        voxels = Voxels(search.session.volume, self.label_map, search.session.prepared.record.axes[0])
        told: dict[int, ObjectResult] = {}
        for number, one in self.found.items():
            values = [member + 1 for member in composition.members(number)]
            result = result_of(prompts[number], one, voxels, values)
            result = unsure(result, voxels) if number in self.marked else result
            told[number] = search.judge.confident(number, replace(result, recognised_as=search.recognised[number]))
        for number in composition.unions:
            members = composition.members(number)
            parts = [told[member] for member in members if member in told]
            values = [member + 1 for member in members]
            told[number] = union_of(prompts[number].display_name, parts, voxels, values)
        return tuple(told[number] for number in range(len(prompts)))


def _of_wholes(search: WordsAndGeometry) -> list[str]:
    """A sentence for each whole whose parts were asked for too."""
    prompts, composition = search.asked.prompts, search.asked.composition
    notes = []
    for number, parts in composition.parts.items():
        names = [f"'{prompts[part].shown_name}'" for part in parts]
        more = f" and {len(names) - PARTS_NAMED} more" if len(names) > PARTS_NAMED else ""
        own = "has no voxel of its own" if number in composition.unions else "has the rest"
        notes.append(
            f"'{prompts[number].shown_name}' is the union with {', '.join(names[:PARTS_NAMED])}{more}: each part "
            f"keeps its own value in the label map, and the whole {own}."
        )
    return notes


def _in_air(search: WordsAndGeometry) -> list[str]:
    """A sentence for each object with a click where the model does not look."""
    return [
        f"A click for '{one.prompt.shown_name}' lies in the air beside the body, where the model does not look."
        for one in search.asked.objects
        if one.grid.outside
    ]
