"""Masks that agree with the clicks, and of two that do, the one that fills its box.

A click is not always understood: the [SEG]-like token of a box and six clicks is the mean of seven, and one that fell
on an odd place spoils it. So an object with a box and clicks is looked for twice, by all prompts and by the box alone;
both are corrected where clicks contradict them (:mod:`medvlsam2.tasks.click_field`), and the box, which says how far
the object goes, tells which of them is the answer. That of the box alone is remembered for the next click.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from medvlsam2.model.object_query import ObjectMasks, ObjectQuery
from medvlsam2.model.propagation import Shown, Turn, segment_objects
from medvlsam2.tasks.click_field import box_extent, extent, heed_clicks
from medvlsam2.tasks.view import View
from medvlsam2.transforms.spatial import SpatialRecord
from medvlsam2.transforms.window import Window


def find_masks(
    view: View,
    window: Window,
    queries: Sequence[ObjectQuery],
    *,
    stride: int,
    turn: Turn,
    shown: Shown,
) -> list[ObjectMasks]:
    """Masks of several objects on every slice.

    Args:
        view: the scan, or a part of it.
        window: in which it is looked at.
        queries: what to look for.
        stride: distance of the slices on which words alone are tried.
        turn: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    sam2, record, features = view.sam2, view.record, view.features(window)
    found = segment_objects(sam2, features, queries, stride=stride, turn=turn, shown=shown)
    for number, query in enumerate(queries):
        if query.box_xyxy is None:
            heed_clicks(found[number], features, query, record, turn=turn)
            continue
        boxed = query.without_clicks()
        key = (
            window,
            record.axes,
            record.crop_hw,
            boxed.box_xyxy,
            boxed.first_slice,
            boxed.last_slice,
            *_words_and_masks(boxed),
        )
        if not query.has_clicks:
            view.box_masks.put(key, found[number])
            continue
        alone = view.box_masks.get(key)
        if alone is None:
            alone = segment_objects(sam2, features, [boxed], stride=stride, turn=turn)[0]
            view.box_masks.put(key, alone)
        for masks in (alone, found[number]):
            heed_clicks(masks, features, query, record, turn=turn)
        found[number] = max(found[number], alone, key=lambda masks: extent_iou(masks, query, record))
    return found


def extent_iou(masks: ObjectMasks, query: ObjectQuery, record: SpatialRecord) -> float:
    """IoU of the box and the smallest box round what was found."""
    wanted, found = box_extent(query, masks.mask_logits.shape[-1], record.side), extent(masks)
    assert wanted is not None, "only asked of objects with a box"
    common = wanted_size = found_size = 1.0
    for (low, high), (start, end) in zip(wanted, found, strict=True):
        common *= max(0.0, min(high, end) - max(low, start))
        wanted_size *= high - low
        found_size *= end - start
    return common / (wanted_size + found_size - common)


def _words_and_masks(query: ObjectQuery) -> Iterator[Hashable]:
    yield None if query.text_token is None else tuple(query.text_token.tolist())
    for number, prompt in query.prompts.items():
        yield number, None if prompt.mask is None else prompt.mask.cpu().numpy().tobytes()
