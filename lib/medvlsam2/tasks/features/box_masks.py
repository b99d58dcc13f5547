"""Masks by box alone, remembered for the clicks that follow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from medvlsam2.model.propagation.object_query import ObjectMasks

KEPT: Final = 8
"""Masks of boxes that a scan remembers."""


class BoxMasks:
    """Masks by box, and words if there are any, of the boxes asked about last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._kept: OrderedDict[Hashable, ObjectMasks] = OrderedDict()

    def get(self, key: Hashable) -> ObjectMasks | None:
        """What is remembered, to be changed at will."""
        with self._guard:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return _copied(self._kept[key])

    def put(self, key: Hashable, masks: ObjectMasks) -> None:
        """Remember masks; those asked about longest ago are forgotten."""
        with self._guard:
            self._kept[key] = _copied(masks)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


def _copied(masks: ObjectMasks) -> ObjectMasks:
    return replace(masks, mask_logits=masks.mask_logits.clone())
