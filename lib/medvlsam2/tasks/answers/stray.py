"""Clicks that lie outside the scan: they are left out, and the reply says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.prompts import ObjectPrompt

T = TypeVar("T")


@dataclass(frozen=True)
class Kept:
    """A prompt with the clicks that can be used."""

    prompt: ObjectPrompt
    notes: tuple[str, ...]
    """What was left out, a sentence for each click."""


def without_stray_clicks(prompt: ObjectPrompt, volume: CTVolume) -> Kept:
    """Leave out clicks outside the scan; where no other click remains and no box, nothing is left out.

    A viewer keeps the clicks of a segment: one that slipped beside the scan would make every later request fail.
    The prompt whose only clicks lie outside is refused where it is used, with the place of the first.
    """
    inside = [is_inside(point, volume) for point in prompt.points_ijk]
    if all(inside) or not (any(inside) or prompt.box_ijk is not None):
        return Kept(prompt, ())
    try:
        kept = replace(
            prompt,
            points_ijk=_those(prompt.points_ijk, inside),
            point_labels=_those(prompt.point_labels, inside),
        )
    except InvalidPrompt:  # all that remains lies beside the object
        return Kept(prompt, ())
    notes = tuple(
        f"Click {number} of '{prompt.display_name}' at voxel {_shown(point)} lies outside the scan of shape "
        f"{volume.shape_ijk} and is not used."
        for number, (point, fits) in enumerate(zip(prompt.points_ijk, inside, strict=True), start=1)
        if not fits
    )
    return Kept(kept, notes)


def is_inside(point_ijk: tuple[float, float, float], volume: CTVolume) -> bool:
    """Whether a click lies in the scan."""
    return all(-0.5 <= place <= size - 0.5 for place, size in zip(point_ijk, volume.shape_ijk, strict=True))


def _those(items: Sequence[T], wanted: Sequence[bool]) -> tuple[T, ...]:
    return tuple(item for item, is_wanted in zip(items, wanted, strict=True) if is_wanted)


def _shown(point_ijk: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(float(np.round(place, 1)) for place in point_ijk)
