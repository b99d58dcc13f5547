"""Where a request looks: at whole slices, and once more from nearer where what it wants is small.

An object of a few pixels is coarse on the mask grid and far from most of what the slice encoder was trained on. So a
part of each slice round it is looked at again, enlarged. Nine parts cover a slice, each of two thirds of its side, so
that neighbours share their features and the next click finds them made. What a box says to be small is looked for
there alone; what words or clicks found to be small gets the mean of both looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from medvlsam2.model.object_query import EMPTY_LOGIT, ObjectMasks, ObjectQuery
from medvlsam2.model.propagation import Shown, Turn
from medvlsam2.tasks.click_field import Edges, box_extent, extent, heed_clicks
from medvlsam2.tasks.corrected_masks import find_masks
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.session import VolumeSession
from medvlsam2.tasks.slice_prompts import on_slices
from medvlsam2.tasks.view import View
from medvlsam2.transforms.regrid import regrid
from medvlsam2.transforms.spatial import Crop, SpatialRecord
from medvlsam2.transforms.window import Window

SMALL_PX: Final = 24
"""Objects up to this size on the mask grid are looked at from nearer …"""
SMALL_PART: Final = 4
"""… and up to this fraction of its side, so that they lie well inside of a part."""
OFFSETS: Final = (0.0, 1 / 6, 1 / 3)
"""Where parts begin, in sides of a slice …"""
PART: Final = 2 / 3
"""… and how long they are."""
SLICES_BEYOND: Final = 4
"""The nearer look goes so many slices beyond what words found."""


@dataclass(frozen=True)
class Wanted:
    """One object of a request."""

    prompt: ObjectPrompt
    text_token: Float[Tensor, " c"] | None


@dataclass(frozen=True)
class Found:
    """What was found of it, and in which view."""

    masks: ObjectMasks
    record: SpatialRecord


def find(
    session: VolumeSession, window: Window, wanted: Sequence[Wanted], *, stride: int, turn: Turn, shown: Shown
) -> list[Found]:
    """Masks of several objects on every slice.

    Args:
        session: the scan.
        window: in which it is looked at.
        wanted: what to look for.
        stride: distance of the slices on which words alone are tried.
        turn: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    whole = session.whole
    queries = [_query(whole, one) for one in wanted]
    results: dict[int, Found] = {}
    boxed = _by_part(
        whole.record,
        {
            number: edges
            for number, query in enumerate(queries)
            if (edges := box_extent(query, whole.sam2.mask_size, whole.record.side)) is not None
        },
        whole.sam2.mask_size,
    )
    for crop, numbers in boxed.items():
        view = session.near(crop)
        near = {number: query for number in numbers if (query := _near_query(view, wanted[number])) is not None}
        results |= _look(view, window, near, stride=stride, turn=turn, shown=shown)
    rest = {number: query for number, query in enumerate(queries) if number not in results}
    first = _look(whole, window, rest, stride=stride, turn=turn, shown=shown)
    results |= first
    edges_of = {number: extent(found.masks) for number, found in first.items()}
    for crop, numbers in _by_part(whole.record, edges_of, whole.sam2.mask_size).items():
        view = session.near(crop)
        near = {
            number: _limited(query, edges_of[number][0], session.num_slices)
            for number in numbers
            if (query := _near_query(view, wanted[number])) is not None
        }
        for number, found in _look(view, window, near, stride=stride, turn=turn, shown=None).items():
            if (found.masks.mask_logits > 0).any():
                _fuse(found, first[number])
                heed_clicks(found.masks, view.features(window), near[number], view.record, turn=turn)
                results[number] = found
    return [results[number] for number in range(len(wanted))]


def part_round(record: SpatialRecord, edges: Edges, mask_size: int) -> Crop | None:
    """The part of the slices in whose middle a small object lies best; None for what is not small.

    Args:
        record: the whole view.
        edges: of the object, on its mask grid.
        mask_size: side of that grid.
    """
    sizes = [end - start for start, end in edges]
    if not 0 < max(sizes[1:]) <= min(SMALL_PX, mask_size / SMALL_PART):
        return None
    crop: list[int] = []
    for (start, end), first, last in zip(edges[1:], record.crop_hw[0::2], record.crop_hw[1::2], strict=True):
        middle = (start + end) / 2 / mask_size
        offset = min(OFFSETS, key=lambda offset: abs(offset + PART / 2 - middle))
        begin = first + round(offset * (last - first))
        crop += [begin, begin + max(1, round(PART * (last - first)))]
    return crop[0], crop[1], crop[2], crop[3]


def _by_part(record: SpatialRecord, edges: dict[int, Edges], mask_size: int) -> dict[Crop, list[int]]:
    parts: dict[Crop, list[int]] = defaultdict(list)
    for number, one in edges.items():
        crop = part_round(record, one, mask_size)
        if crop is not None:
            parts[crop].append(number)
    return parts


def _look(
    view: View, window: Window, queries: dict[int, ObjectQuery], *, stride: int, turn: Turn, shown: Shown | None
) -> dict[int, Found]:
    if not queries:
        return {}
    numbers = list(queries)

    def tell(query: int, slice_number: int, masks: ObjectMasks) -> None:
        if shown is not None:
            shown(numbers[query], slice_number, masks)

    masks = find_masks(view, window, list(queries.values()), stride=stride, turn=turn, shown=tell)
    return {number: Found(one, view.record) for number, one in zip(numbers, masks, strict=True)}


def _query(view: View, wanted: Wanted) -> ObjectQuery:
    return on_slices(view.record, wanted.prompt, view.sam2.mask_size).query(wanted.text_token)


def _near_query(view: View, wanted: Wanted) -> ObjectQuery | None:
    """The query in a nearer view, without clicks beside the object that lie outside; None where one on it does."""
    query = _query(view, wanted)
    prompts = {number: prompt.inside(view.record.side) for number, prompt in query.prompts.items()}
    if None in prompts.values():
        return None
    corrections = {number: prompt.inside(view.record.side) for number, prompt in query.corrections.items()}
    return replace(
        query,
        prompts={number: prompt for number, prompt in prompts.items() if prompt is not None},
        corrections={number: prompt for number, prompt in corrections.items() if prompt and prompt.point_labels},
    )


def _limited(query: ObjectQuery, found_slices: tuple[float, float], num_slices: int) -> ObjectQuery:
    """Words alone are looked for near where they were found."""
    if query.is_pointed:
        return query
    first, end = (int(edge) for edge in found_slices)
    return replace(
        query,
        first_slice=max(0, first - SLICES_BEYOND),
        last_slice=min(num_slices - 1, end - 1 + SLICES_BEYOND),
    )


def _fuse(near: Found, whole: Found) -> None:
    """The mean of both looks on the nearer grid; each has one voice, however loud."""
    seen = regrid(whole.masks.mask_logits, whole.record, near.record, outside=EMPTY_LOGIT)
    near.masks.mask_logits = (_bounded(seen) + _bounded(near.masks.mask_logits)) / 2


def _bounded(logits: Tensor) -> Tensor:
    return torch.clamp(logits.float(), EMPTY_LOGIT, -EMPTY_LOGIT)
