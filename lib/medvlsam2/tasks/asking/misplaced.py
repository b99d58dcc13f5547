"""Masks of names that cannot lie in the scan are left out: a name never reaches a voxel that it does not belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.tasks.answers.results import ObjectResult, Voxels
from medvlsam2.tasks.asking.outcome import Outcome
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.whereabouts import misplaced
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.prompts import ObjectPrompt


def without_misplaced(done: Outcome, prompts: Sequence[ObjectPrompt], session: VolumeSession, facts: Facts) -> Outcome:
    """What was found, without masks of names whose place on the body axis is surely outside of the scan.

    Args:
        done: what was found.
        prompts: of the objects; what is pointed at stays.
        session: the scan.
        facts: of the scan.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    reasons = {
        number: reason
        for number, (prompt, result) in enumerate(zip(prompts, done.objects, strict=True))
        if result.present and not prompt.is_placed and (reason := _reason(prompt, result, facts)) is not None
    }
    return _without(done, reasons, prompts, session) if reasons else done


def _reason(prompt: ObjectPrompt, result: ObjectResult, facts: Facts) -> str | None:
    known = None if prompt.text is None else vocabulary.lookup(" ".join(plain(prompt.text).split()))
    return None if known is None else misplaced(known.key, result.confidence, facts.scan_range)


def _without(
    done: Outcome, reasons: Mapping[int, str], prompts: Sequence[ObjectPrompt], session: VolumeSession
) -> Outcome:
    gone = [number + 1 for number in reasons]
    label_map = np.where(np.isin(done.label_map, gone), 0, done.label_map).astype(np.uint8)
    voxels = Voxels(session.volume, label_map, session.prepared.record.axes[0])

    def told(number: int, result: ObjectResult) -> ObjectResult:
        if number in reasons:
            nothing = replace(result, confidence=0.0, slice_confidence={}, slice_to_fix=None, reason=reasons[number])
            return voxels.measured(nothing, (number + 1,))
        is_changed = not set(gone).isdisjoint(result.values)
        return voxels.measured(result, result.values) if is_changed else result

    objects = tuple(told(number, result) for number, result in enumerate(done.objects))
    notes = (f"'{prompts[number].shown_words}': {reason} It is left out." for number, reason in reasons.items())
    return Outcome(label_map, objects, (*done.notes, *notes))
