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
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return replace(self._kept[key])

    def put(self, key: Hashable, masks: ObjectMasks) -> None:
        """Remember masks; those asked about longest ago are forgotten."""
        self._kept[key] = replace(masks)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
