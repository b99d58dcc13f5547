"""Clicks, scribbles, boxes and masks of one prompt, brought onto the model's slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.propagation.object_query import ObjectQuery, SlicePrompt
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.prompts import BESIDE, ON_OBJECT, ObjectPrompt
from medvlsam2.transforms.slice_choice import evenly_spaced
from medvlsam2.transforms.spatial import SpatialRecord

MAX_SCRIBBLED_SLICES: Final = 8
"""Slices of a scribble that are used, spread over it."""
MAX_SCRIBBLE_POINTS: Final = 4
"""Points that stand for the strokes of one kind on one slice."""
MAX_MASK_SLICES: Final = 8
"""Slices of a mask that are used where nobody says which of them were corrected, spread over it."""


@dataclass(frozen=True)
class GridPrompt:
    """What one prompt says on which slice."""

    prompts: dict[int, SlicePrompt]
    """Slices that say where the object is."""
    corrections: dict[int, SlicePrompt]
    """Clicks beside the object on other slices."""
    first_slice: int
    last_slice: int | None
    box_xyxy: tuple[float, float, float, float] | None
    outside: bool
    """Whether a click lies where this view does not reach: for the view of the whole, in the air beside the body."""

    def query(self, text_token: Float[Tensor, " c"] | None) -> ObjectQuery:
        """What is looked for, with the words' token if there are any."""
        return ObjectQuery(
            text_token=text_token,
            prompts=self.prompts,
            corrections=self.corrections,
            first_slice=self.first_slice,
            last_slice=self.last_slice,
            box_xyxy=self.box_xyxy,
        )


@dataclass(frozen=True)
class PlacedPrompt:
    """A prompt, and where it lies on the slices of the view of the whole scan: all searches of a request share it.

    The text has no place, so it may change (:meth:`with_text`) while the placement stays.
    """

    prompt: ObjectPrompt
    whole: View
    grid: GridPrompt
    """On the slices of that view."""

    def in_view(self, view: View) -> GridPrompt:
        """The prompt on the slices of any view of the scan."""
        return self.grid if view is self.whole else on_slices(view.record, self.prompt, view.sam2.mask_size)

    def with_text(self, text: str | None) -> PlacedPrompt:
        """The same place with other words or none."""
        return replace(self, prompt=replace(self.prompt, text=text))


def place(whole: View, prompt: ObjectPrompt) -> PlacedPrompt:
    """Place a prompt on the slices of the view of the whole scan.

    Raises:
        InvalidPrompt, GeometryMismatch: see :func:`on_slices`.
    """
    return PlacedPrompt(prompt, whole, on_slices(whole.record, prompt, whole.sam2.mask_size))


def on_slices(record: SpatialRecord, prompt: ObjectPrompt, mask_size: int) -> GridPrompt:
    """Bring a prompt onto the model's slices.

    Args:
        record: how the scan was turned and cut.
        prompt: on the scan's grid, its box in the scan.
        mask_size: side of the model's masks.

    Raises:
        InvalidPrompt: on a click outside the scan.
        GeometryMismatch: if scribbles or mask are not on the scan's grid.
    """
    points: dict[int, list[tuple[float, float]]] = defaultdict(list)
    labels: dict[int, list[int]] = defaultdict(list)
    limits: tuple[int, int | None] = (0, None)
    edges = None
    if prompt.box_ijk is not None:
        box = record.box_to_grid(prompt.box_ijk)
        edges, limits = box.xyxy, (box.first, box.last)
        middle = (box.first + box.last) // 2
        points[middle] += [(edges[0], edges[1]), (edges[2], edges[3])]
        labels[middle] += [2, 3]
    clicks = [
        (record.click_to_grid(point, f"Click {number}"), label)
        for number, (point, label) in enumerate(zip(prompt.points_ijk, prompt.point_labels, strict=True), start=1)
    ]
    # in an order of their own, so that the annotator's changes nothing, not even by rounding
    given = sorted([*clicks, *_scribbled(record, prompt.scribbles)], key=lambda click: (-click[1], click[0]))
    for (d, x, y), label in given:
        points[d].append((x, y))
        labels[d].append(label)
    masks = _masks(record, prompt, mask_size, set(points))
    drawn = {
        d: SlicePrompt(tuple(points[d]), tuple(labels[d]), masks.get(d)) for d in sorted(points.keys() | masks.keys())
    }
    conditioning = {d: one for d, one in drawn.items() if set(one.point_labels) - {0} or one.mask is not None}
    if limits[1] is not None and conditioning:
        limits = (min(limits[0], *conditioning), max(limits[1], *conditioning))
    return GridPrompt(
        prompts=conditioning,
        corrections={d: one for d, one in drawn.items() if d not in conditioning},
        first_slice=limits[0],
        last_slice=limits[1],
        box_xyxy=edges,
        outside=any(not record.in_crop(x, y) for (_, x, y), _ in clicks),
    )


def _scribbled(
    record: SpatialRecord, scribbles: Integer[np.ndarray, "i j k"] | None
) -> list[tuple[tuple[int, float, float], int]]:
    """Points that stand for strokes: slice, x, y, and whether they lie on the object."""
    if scribbles is None:
        return []
    record.orient(scribbles)  # raises where the strokes lie on another grid
    strokes: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    for value, label in ((ON_OBJECT, 1), (BESIDE, 0)):
        dhw = record.ijk_to_dhw(np.argwhere(scribbles == value))
        for d in np.unique(dhw[:, 0].round().astype(int)).tolist():
            strokes[d][label] = dhw[dhw[:, 0].round() == d, 1:]
    stroked = sorted(strokes)
    return [
        ((d, float(x), float(y)), label)
        for d in (stroked[number] for number in evenly_spaced(len(stroked), MAX_SCRIBBLED_SLICES))
        for label, places in strokes[d].items()
        for y, x in _far_apart(places, MAX_SCRIBBLE_POINTS)
    ]


def _masks(
    record: SpatialRecord, prompt: ObjectPrompt, mask_size: int, clicked: Set[int]
) -> dict[int, Bool[Tensor, "m m"]]:
    """The mask on its conditioning slices: those that were corrected or clicked, or some of all."""
    if prompt.mask is None:
        return {}
    grid = record.resize_labels(record.orient(prompt.mask.astype(np.uint8)), mask_size) > 0
    held = np.flatnonzero(grid.any(axis=(1, 2))).tolist()
    for number in prompt.mask_slices:
        if not 0 <= number < record.num_slices:
            raise InvalidPrompt(
                f"Slice {number} of the mask was given as corrected; the scan has slices 0 to {record.num_slices - 1}."
            )
    corrected = {record.source_slice(number) for number in prompt.mask_slices}  # the reorientation is its own inverse
    spread = {held[number] for number in evenly_spaced(len(held), MAX_MASK_SLICES)}
    chosen = corrected or spread | (set(clicked) & set(held))
    return {d: torch.from_numpy(grid[d]) for d in sorted(chosen)}


def _far_apart(places: Float[np.ndarray, "n 2"], count: int) -> Float[np.ndarray, "p 2"]:
    """At most so many of them: the one nearest to the middle, then always the one farthest from those chosen."""
    chosen = [int(np.argmin(np.linalg.norm(places - places.mean(axis=0), axis=1)))]
    nearest = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < min(count, len(places)) and nearest.max() > 0:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return places[chosen]
