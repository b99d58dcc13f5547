"""Masks that agree with the clicks: the mean of what all prompts and what the box alone give.

A click is not always understood: the [SEG]-like token of a box and six clicks is the mean of seven, and one that fell
on an odd place spoils it. So an object with a box and clicks is looked for twice, by all prompts and by the box alone;
both are corrected where clicks contradict them (:mod:`medvlsam2.tasks.click_field`), and their mean is the answer.
That of the box alone is remembered for the next click.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from medvlsam2.model.object_query import ObjectMasks, ObjectQuery, Shown, Turn
from medvlsam2.model.propagation import segment_objects
from medvlsam2.tasks.click_field import heed_clicks
from medvlsam2.tasks.view import View
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
        found[number].mask_logits = mean_logits(found[number], alone)
    return found


def mean_logits(one: ObjectMasks, other: ObjectMasks) -> Float[Tensor, "d m m"]:
    """What both say together; clicks hold in it, since they hold in each."""
    return (one.mask_logits + other.mask_logits) / 2


def _words_and_masks(query: ObjectQuery) -> Iterator[Hashable]:
    yield None if query.text_token is None else tuple(query.text_token.tolist())
    for number, prompt in query.prompts.items():
        yield number, None if prompt.mask is None else prompt.mask.cpu().numpy().tobytes()
