"""Masks by box alone, remembered for the clicks that follow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from medvlsam2.model.object_query import ObjectMasks

KEPT: Final = 4
"""Masks of boxes that a scan remembers."""


class BoxMasks:
    """Masks by box, and words if there are any, of the boxes asked about last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, ObjectMasks] = OrderedDict()

    def get(self, key: Hashable) -> ObjectMasks | None:
        """What is remembered, to be changed at will."""
        kept = self._kept.get(key)
        return None if kept is None else replace(kept)

    def put(self, key: Hashable, masks: ObjectMasks) -> None:
        """Remember masks; the oldest are forgotten."""
        self._kept[key] = replace(masks)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
