"""Clicks beside an object that OHIF sends along for the next object too.

OHIF's panel keeps one list of background clicks for all structures: a click beside the liver comes along when the
spleen is clicked next, and would cut into it. A click belongs to the object with which it was first sent, so it is left
out for any other. Slicer and programs send what they mean, and are not looked at here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from label_tasks.infer.requests import Target
from label_tasks.prompting.fields import PointIJK
from medvlsam2.tasks.prompts import ObjectPrompt

KEPT: Final = 64
"""Annotators and scans whose clicks are remembered, the last ones."""


class SharedClicks:
    """Whose each background click is, for the annotators and scans asked about last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._owners: OrderedDict[Hashable, dict[PointIJK, Hashable]] = OrderedDict()
        self._objects: OrderedDict[Hashable, list[set[PointIJK]]] = OrderedDict()

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
            owner = self._owner(place, target, inside)
            owners = self._owners.setdefault(place, {})
            self._owners.move_to_end(place)
            while len(self._owners) > KEPT:
                gone, _ = self._owners.popitem(last=False)
                self._objects.pop(gone, None)
            kept = [
                (point, label)
                for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True)
                if label or owners.setdefault(point, owner) == owner
            ]
        left_out = len(prompt.points_ijk) - len(kept)
        if not left_out:
            return target, ()
        note = (
            f"{left_out} background clicks belong to an object that was segmented before and are not used for "
            f"'{prompt.shown_name}'."
        )
        return replace(target, prompt=_with(prompt, kept)), (note,)

    def _owner(self, place: Hashable, target: Target, inside: set[PointIJK]) -> Hashable:
        """The object: by its name where OHIF sends one, else that of earlier clicks on it."""
        if target.prompt.text is not None:
            return target.prompt.text
        objects = self._objects.setdefault(place, [])
        for number, clicks in enumerate(objects):
            if clicks & inside:
                clicks.update(inside)
                return number
        objects.append(set(inside))
        return len(objects) - 1


def _with(prompt: ObjectPrompt, kept: list[tuple[PointIJK, int]]) -> ObjectPrompt:
    return replace(prompt, points_ijk=tuple(point for point, _ in kept), point_labels=tuple(label for _, label in kept))
