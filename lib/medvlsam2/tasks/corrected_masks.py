"""Masks that agree with the clicks: the mean of what all prompts and what the box alone give.

A click is not always understood: the [SEG]-like token of a box and six clicks is the mean of seven, and one that fell
on an odd place spoils it. So an object with a box and clicks is looked for twice, by all prompts and by the box alone;
both are corrected where clicks contradict them (:mod:`medvlsam2.tasks.click_field`), and their mean is the answer.
That of the box alone is remembered for the next click.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor

from medvlsam2.model.object_query import ObjectMasks, ObjectQuery, Shown, Turn
from medvlsam2.model.propagation import segment_objects
from medvlsam2.tasks.click_field import heed_clicks
from medvlsam2.tasks.view import View
from medvlsam2.transforms.spatial import SpatialRecord
from medvlsam2.transforms.window import Window


def find_masks(
    views: Sequence[View],
    window: Window,
    queries: Sequence[ObjectQuery],
    *,
    stride: int,
    turn: Turn,
    shown: Shown,
) -> list[ObjectMasks]:
    """Masks of several objects on every slice.

    Args:
        views: for each object the scan, or the part of it, in which it is looked for.
        window: in which it is looked at.
        queries: what to look for.
        stride: distance of the slices on which words alone are tried.
        turn: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    find = partial(segment_objects, views[0].sam2, stride=stride, turn=turn)
    features = [view.features(window) for view in views]
    found = find(features, queries, shown=shown)
    for view, query, masks in zip(views, queries, found, strict=True):
        if query.box_xyxy is not None and not query.has_clicks:
            view.box_masks.put(_key(view.record, window, query), masks)
    clicked = {n: query for n, query in enumerate(queries) if query.box_xyxy is not None and query.has_clicks}
    alone = _by_box_alone(views, window, clicked, lambda some, boxed: find([features[n] for n in some], boxed))
    for number, (view, query, masks) in enumerate(zip(views, queries, found, strict=True)):
        heed_clicks(masks, features[number], query, view.record, turn=turn)
        if number in alone:
            heed_clicks(alone[number], features[number], query, view.record, turn=turn)
            masks.mask_logits = mean_logits(masks, alone[number])
    return found


def _by_box_alone(
    views: Sequence[View],
    window: Window,
    clicked: Mapping[int, ObjectQuery],
    find: Callable[[Sequence[int], Sequence[ObjectQuery]], Sequence[ObjectMasks]],
) -> dict[int, ObjectMasks]:
    """Masks of boxed objects without their clicks, as they are remembered, or found now, all at once."""
    boxed = {number: query.without_clicks() for number, query in clicked.items()}
    keys = {number: _key(views[number].record, window, query) for number, query in boxed.items()}
    alone = {number: masks for number in boxed if (masks := views[number].box_masks.get(keys[number])) is not None}
    missing = [number for number in boxed if number not in alone]
    for number, masks in zip(missing, find(missing, [boxed[number] for number in missing]), strict=True):
        views[number].box_masks.put(keys[number], masks)
        alone[number] = masks
    return alone


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
