"""Masks that a box alone gave, kept for the clicks that follow."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from cachetools import LRUCache

from medvlsam2.model.propagation.object_query import ObjectMasks

KEPT: Final = 8
"""Boxes of one scan whose masks are kept; beyond these the one that was used longest ago is dropped."""


class BoxMasks:
    """Masks by box (and words, if there are any) of the boxes that were used last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._kept: LRUCache[Hashable, ObjectMasks] = LRUCache(KEPT)

    def get(self, key: Hashable) -> ObjectMasks | None:
        """A copy of the masks, which the caller may change; None where none are kept."""
        with self._guard:
            return _copied(self._kept[key]) if key in self._kept else None

    def put(self, key: Hashable, masks: ObjectMasks) -> None:
        """Keep a copy of the masks."""
        with self._guard:
            self._kept[key] = _copied(masks)


def _copied(masks: ObjectMasks) -> ObjectMasks:
    return replace(masks, mask_logits=masks.mask_logits.clone())
