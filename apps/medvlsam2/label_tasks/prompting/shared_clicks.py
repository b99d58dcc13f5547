"""Leaves out background clicks that OHIF sends again with another object.

OHIF's panel keeps one list of background clicks for all structures: a click beside the liver is sent again when the
spleen is clicked next, and would cut into the spleen. A background click belongs to the object with which it was first
sent, so it is left out for any other object. Slicer and programs send the clicks of one object only.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Final

from cachetools import LRUCache

from label_tasks.prompting.target import Target
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.voxel_box import PointIJK

KEPT: Final = 64
"""Pairs of annotator and scan whose clicks are kept; beyond these the pair that clicked longest ago is dropped."""


@dataclass
class _Clicks:
    """Clicks of one annotator on one scan."""

    owners: dict[PointIJK, Hashable] = field(default_factory=dict)
    """The object of each background click."""
    objects: list[set[PointIJK]] = field(default_factory=list)
    """Clicks on each object that has no name."""


class SharedClicks:
    """The object that each background click belongs to, for the annotators and scans that asked last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._clicks: LRUCache[Hashable, _Clicks] = LRUCache(KEPT)

    def own(self, place: Hashable, target: Target) -> tuple[Target, tuple[str, ...]]:
        """The target with its own clicks alone, and a sentence for those that were left out.

        Args:
            place: who asks about which scan.
            target: one object with clicks.
        """
        prompt = target.prompt
        inside = {point for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True) if label}
        if not inside:
            return target, ()
        with self._guard:
            known = self._clicks.setdefault(place, _Clicks())
            owner = _owner(known, target, inside)
            kept = [
                (point, label)
                for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True)
                if label or known.owners.setdefault(point, owner) == owner
            ]
        left_out = len(prompt.points_ijk) - len(kept)
        if not left_out:
            return target, ()
        note = (
            f"{left_out} background clicks belong to an object that was segmented before and are not used for "
            f"'{prompt.shown_name}'."
        )
        return replace(target, prompt=_with(prompt, kept)), (note,)


def _owner(known: _Clicks, target: Target, inside: set[PointIJK]) -> Hashable:
    """The object's name where OHIF sends one; else the number of the object with earlier clicks in the same place."""
    if target.prompt.text is not None:
        return target.prompt.text
    for number, clicks in enumerate(known.objects):
        if clicks & inside:
            clicks.update(inside)
            return number
    known.objects.append(set(inside))
    return len(known.objects) - 1


def _with(prompt: ObjectPrompt, kept: list[tuple[PointIJK, int]]) -> ObjectPrompt:
    return replace(prompt, points_ijk=tuple(point for point, _ in kept), point_labels=tuple(label for _, label in kept))
