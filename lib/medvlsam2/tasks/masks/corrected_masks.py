"""Masks that agree with the clicks: the mean of what all prompts and what the box alone give.

A click is not always understood: the [SEG]-like token of a box and six clicks is the mean of seven, and one that fell
on an odd place spoils it. So an object with a box and clicks is looked for twice, by all prompts and by the box alone;
both are corrected where clicks contradict them (:mod:`medvlsam2.tasks.masks.click_correction`), and their mean is the
answer. That of the box alone is remembered for the next click.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from medvlsam2.data.structures.table import Window
from medvlsam2.model.device.memory_limit import batches
from medvlsam2.model.propagation.object_query import (
    Lease,
    ObjectMasks,
    ObjectQuery,
    Shown,
)
from medvlsam2.model.propagation.propagate import BATCH, segment_objects
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.masks.click_correction import heed_clicks
from medvlsam2.transforms.spatial import SpatialRecord


def find_masks(
    views: Sequence[View],
    window: Window,
    queries: Sequence[ObjectQuery],
    *,
    stride: int,
    lease: Lease,
    shown: Shown,
) -> list[ObjectMasks]:
    """Masks of several objects on every slice.

    Args:
        views: for each object the scan, or the part of it, in which it is looked for.
        window: in which it is looked at.
        queries: what to look for.
        stride: distance of the slices on which words alone are tried.
        lease: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    find = partial(segment_objects, views[0].sam2, stride=stride, lease=lease)
    features = [view.features(window) for view in views]
    found = find(features, queries, shown=shown)
    for view, query, masks in zip(views, queries, found, strict=True):
        if query.box_xyxy is not None and not query.has_clicks:
            view.box_masks.put(_key(view.record, window, query), masks)
        heed_clicks(masks, view.features(window), query, view.record, lease=lease)
    clicked = [number for number, query in enumerate(queries) if query.box_xyxy is not None and query.has_clicks]
    for numbers in batches(clicked, BATCH):
        some = [_Boxed.of(views[number], window, queries[number]) for number in numbers]
        for number, boxed, alone in zip(numbers, some, _by_box_alone(some, find), strict=True):
            heed_clicks(alone, boxed.features, queries[number], boxed.view.record, lease=lease)
            found[number].mask_logits = mean_logits(found[number], alone)
    return found


@dataclass(frozen=True)
class _Boxed:
    """An object without its clicks."""

    view: View
    features: SliceSource
    query: ObjectQuery
    key: Hashable

    @classmethod
    def of(cls, view: View, window: Window, clicked: ObjectQuery) -> _Boxed:
        boxed = clicked.without_clicks()
        return cls(view, view.features(window), boxed, _key(view.record, window, boxed))


def _by_box_alone(
    boxed: Sequence[_Boxed], find: Callable[[Sequence[SliceSource], Sequence[ObjectQuery]], Sequence[ObjectMasks]]
) -> list[ObjectMasks]:
    """Masks as they are remembered, or found now, all at once."""
    alone = {number: one.view.box_masks.get(one.key) for number, one in enumerate(boxed)}
    missing = [number for number, masks in alone.items() if masks is None]
    found = find([boxed[number].features for number in missing], [boxed[number].query for number in missing])
    for number, masks in zip(missing, found, strict=True):
        boxed[number].view.box_masks.put(boxed[number].key, masks)
        alone[number] = masks
    return [masks for masks in alone.values() if masks is not None]


def mean_logits(one: ObjectMasks, other: ObjectMasks) -> Float[Tensor, "d m m"]:
    """What both say together; clicks hold in it, since they hold in each."""
    return (one.mask_logits + other.mask_logits) / 2


def _key(record: SpatialRecord, window: Window, boxed: ObjectQuery) -> Hashable:
    place = (window, record.axes, record.crop_hw, boxed.box_xyxy, boxed.first_slice, boxed.last_slice)
    return (*place, *_words_and_masks(boxed))


def _words_and_masks(query: ObjectQuery) -> Iterator[Hashable]:
    yield None if query.text_token is None else tuple(query.text_token.tolist())
    for number, prompt in query.prompts.items():
        yield number, None if prompt.mask is None else prompt.mask.cpu().numpy().tobytes()
