"""True masks of object expressions that are plain enough to be understood without the code that is evaluated.

Understood are names, unions, "in" a place, "on the left", and the largest or smallest of several. Anything else has no
true masks here.
"""

from __future__ import annotations

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.labels.wholes import parts_of
from medvlsam2.data.query.objects import Condition, Item, ObjectExpression, OnSide, Where
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.truth.known_masks import Known


class NotSettledError(Exception):
    """The truth of an object is not known, or its expression is not among the plain ones."""


def simple_masks(expression: ObjectExpression, known: Known) -> list[Mask]:
    """The single objects of an expression; none if it is absent.

    Args:
        expression: what is meant.
        known: true masks of the scan.

    Raises:
        NotSettledError: if the expression is not a plain one, or the truth does not tell.
    """
    if expression.without:
        raise NotSettledError(str(expression))
    return [mask for item in expression.items for mask in item_masks(item, known)]


def item_masks(item: Item, known: Known) -> list[Mask]:
    """The single objects of one item.

    Raises:
        NotSettledError: as for :func:`simple_masks`.
    """
    if item.part is not None:
        raise NotSettledError(str(item))
    masks = known.masks(item.key)
    if masks is None:
        raise NotSettledError(str(item))
    for condition in item.conditions:
        masks = [mask for mask in masks if _holds(condition, item, mask, known)]
    return _picked(item, masks)


def _holds(condition: Condition, item: Item, mask: Mask, known: Known) -> bool:
    is_finding = vocabulary.STRUCTURES[item.key].is_finding
    if isinstance(condition, Where) and condition.relation == "in" and condition.place.pick is None and is_finding:
        hosts = [lesion.structure for _, lesion, own in known.lesions() if (own & mask).any()]
        place = {condition.place.key} | parts_of(condition.place.key)
        if not hosts:
            raise NotSettledError(str(item))
        return any(host in place for host in hosts)
    if isinstance(condition, OnSide) and is_finding:
        sides = {lesion.side for _, lesion, own in known.lesions() if (own & mask).any()}
        if len(sides) != 1 or None in sides:
            raise NotSettledError(str(item))
        return sides == {condition.side}
    raise NotSettledError(str(item))


def _picked(item: Item, masks: list[Mask]) -> list[Mask]:
    if item.pick is None or not masks:
        return masks
    if item.pick not in ("largest", "smallest"):
        raise NotSettledError(str(item))
    sizes = [int(np.count_nonzero(mask)) for mask in masks]
    return [masks[int(np.argmax(sizes) if item.pick == "largest" else np.argmin(sizes))]]
