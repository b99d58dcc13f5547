"""Leaves out clicks outside the scan and clicks that contradict others; the reply names each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.answers.geometry import is_learned
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.voxel_box import is_in_scan, voxel_of


@dataclass(frozen=True)
class Kept:
    """A prompt with the clicks that can be used."""

    prompt: ObjectPrompt
    notes: tuple[str, ...]
    """What was left out, a sentence for each click."""


def usable_clicks(prompt: ObjectPrompt, volume: CTVolume, learned: Collection[str]) -> Kept:
    """Leave out clicks outside the scan, and clicks beside the object in a voxel that was clicked as on it too.

    A viewer sends all clicks of a segment again and again, so one click that slipped outside the scan would make every
    later request fail. If no click remains, the model searches by the name alone, if it learned that name. Otherwise
    all clicks stay, and the prompt is refused when it is placed, with the place of the first click.

    Args:
        prompt: any prompt.
        volume: the scan.
        learned: vocabulary keys that the model learned.
    """
    inside = without_stray_clicks(prompt, volume, learned)
    agreed = _without_contradictions(inside.prompt, volume)
    return Kept(agreed.prompt, inside.notes + agreed.notes)


def without_stray_clicks(prompt: ObjectPrompt, volume: CTVolume, learned: Collection[str]) -> Kept:
    """Leave out clicks outside the scan, unless what remains would no longer say what is meant."""
    inside = [is_in_scan(point, volume.shape_ijk) for point in prompt.points_ijk]
    if all(inside):
        return Kept(prompt, ())
    try:
        kept = _with_clicks(prompt, inside)
    except InvalidPrompt:  # all that remains lies beside the object, or nothing remains
        return Kept(prompt, ())
    is_named = kept.text is not None and kept.is_understood and is_learned(kept.text, learned)
    if not kept.is_placed and not is_named:
        return Kept(prompt, ())
    instead = "" if kept.is_placed else f" What is marked was looked for by the name '{kept.shown_words}' alone."
    notes = tuple(
        f"Click {number} of '{prompt.shown_name}' at voxel {_shown(point)} lies outside the scan of shape "
        f"{volume.shape_ijk} and is not used.{instead}"
        for number, (point, fits) in enumerate(zip(prompt.points_ijk, inside, strict=True), start=1)
        if not fits
    )
    return Kept(kept, notes)


def _without_contradictions(prompt: ObjectPrompt, volume: CTVolume) -> Kept:
    """Leave out clicks beside the object in a voxel that was clicked as on it: a viewer may send old clicks again."""
    voxels = [voxel_of(point, volume.shape_ijk) for point in prompt.points_ijk]
    on = {voxel for voxel, label in zip(voxels, prompt.point_labels, strict=True) if label}
    fits = [bool(label) or voxel not in on for voxel, label in zip(voxels, prompt.point_labels, strict=True)]
    notes = tuple(
        f"Click {number} beside '{prompt.shown_name}' lies in voxel {voxel}, which was clicked as on it too: it is not "
        "used."
        for number, (voxel, fit) in enumerate(zip(voxels, fits, strict=True), start=1)
        if not fit
    )
    return Kept(_with_clicks(prompt, fits) if notes else prompt, notes)


def _with_clicks(prompt: ObjectPrompt, wanted: Sequence[bool]) -> ObjectPrompt:
    kept = [
        (point, label)
        for point, label, is_wanted in zip(prompt.points_ijk, prompt.point_labels, wanted, strict=True)
        if is_wanted
    ]
    points, labels = tuple(point for point, _ in kept), tuple(label for _, label in kept)
    return replace(prompt, points_ijk=points, point_labels=labels)


def _shown(point_ijk: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(float(np.round(place, 1)) for place in point_ijk)
