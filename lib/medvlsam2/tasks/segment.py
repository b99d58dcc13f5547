"""Segmentation: from prompts about one scan to one label map on the scan's grid."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8

from medvlsam2.data.query.linking import linked_names
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.device.memory_limit import enough_memory
from medvlsam2.model.device.precision import autocast
from medvlsam2.tasks.answers.apart import require_together
from medvlsam2.tasks.answers.results import ObjectResult, Voxels
from medvlsam2.tasks.asking.asked import Asked
from medvlsam2.tasks.asking.job import Job, Progress, SliceShown
from medvlsam2.tasks.asking.misplaced import without_misplaced
from medvlsam2.tasks.asking.outcome import outcome
from medvlsam2.tasks.asking.words_and_geometry import WordsAndGeometry
from medvlsam2.tasks.composing.compose import merge
from medvlsam2.tasks.composing.model_writer import ModelWriter
from medvlsam2.tasks.composing.plan import Plan, plan
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.engine.writing import writes_queries
from medvlsam2.tasks.facts.door import facts_of
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.objects.find import FoundObject, find_object, look_ahead
from medvlsam2.tasks.phrases.reading.writer import ObjectWriter
from medvlsam2.tasks.prompts import ObjectPrompt

MAX_OBJECTS: Final = 255
"""Objects of one request: a label map of 8 bits has so many values besides the background."""
MAX_CLICKS: Final = 128
"""Clicks of one request. Annotators place a few dozen on one object; time and memory grow with their number."""


@dataclass(frozen=True)
class Segmentation:
    """Masks of all prompts of a request."""

    label_map: UInt8[np.ndarray, "i j k"]
    """Value n is the n-th prompt; 0 is none of them. On exactly the scan's grid."""
    objects: tuple[ObjectResult, ...]
    warnings: tuple[str, ...]
    latencies_s: dict[str, float]


def segment(
    engine: Engine,
    volume: CTVolume,
    prompts: Sequence[ObjectPrompt],
    *,
    progress: Progress | None = None,
    shown: SliceShown | None = None,
    owner: Hashable = None,
    facts: Facts | None = None,
    writer: ObjectWriter | None = None,
) -> Segmentation:
    """Find the objects that prompts name, describe or point at.

    The name of a structure is searched for by itself. A finding's name has the mask of its facts: what the model marks
    and a search or a rule finds, without what measuring disproves. A phrase that a rule or the model can read is
    composed from the masks of the names in it (:mod:`medvlsam2.tasks.objects`). Any other phrase is given to the model
    as it is, and so is everything with clicks, a box or a drawing.

    Args:
        engine: the model.
        volume: the scan.
        prompts: one per object; up to 255.
        progress: called with the share of work done, 0..1.
        shown: called with the number of the prompt and each slice of the scan as soon as a mask is there.
        owner: stands for who asks about which image. A later request of the same owner for the same objects, or for
            these and others, replaces this one. None: all requests about the scan have one owner.
        facts: of the scan, for phrases that are composed; None: those of the masks that the engine's model finds.
        writer: reads phrases that no rule reads; None: the engine's model, if its metadata say that it can.

    Raises:
        DeviceFull: if the device's memory does not suffice.
        InvalidPrompt: on no prompt or too many, too many clicks, a click outside the scan or its box, an inverted or
            empty box, a phrase that can be read in two ways or that nobody can read.
        UnknownStructure: if a text names nothing that the vocabulary knows.
        Superseded: if a later request replaced this one.
    """
    if not 1 <= len(prompts) <= MAX_OBJECTS:
        raise InvalidPrompt(f"{len(prompts)} prompts given; 1 to {MAX_OBJECTS} are allowed in one request.")
    clicks = sum(len(prompt.points_ijk) for prompt in prompts)
    if clicks > MAX_CLICKS:
        raise InvalidPrompt(
            f"{clicks} clicks given; at most {MAX_CLICKS} are allowed in one request. Keep those that matter most."
        )
    prompts = [prompt.cut_to(volume.shape_ijk) for prompt in prompts]
    for prompt in prompts:
        require_together(prompt, volume)
    known = facts or facts_of(engine, volume)
    planned = plan(prompts, known, lambda: writer or _writer(engine), linked_names)
    names = [prompt.display_name for prompt in prompts]
    device, asked_about = torch.device(engine.device), (volume.content_hash if owner is None else owner)
    with engine.claims.claim(asked_about, names) as claim, engine.requests.one(), enough_memory(), autocast(device):
        job = Job(engine, claim, progress or (lambda _: None), shown)
        with job.lease():
            session = engine.session(volume)
        if not planned.composed:
            return _searched(session, planned, known, job)
        return _composed(session, prompts, planned, known, job)


def _searched(session: VolumeSession, planned: Plan, facts: Facts, job: Job) -> Segmentation:
    """What is found by names, phrases that no one reads, clicks, boxes and masks; at least one of them."""
    asked = Asked.of(session, list(planned.searched.values()))
    job.clock.lap("prepare")
    search = WordsAndGeometry(session, asked, job)
    done = without_misplaced(outcome(search, search.search()), asked.prompts, session, facts)
    objects = tuple(
        planned.as_understood(number, result) for number, result in zip(planned.searched, done.objects, strict=True)
    )
    warnings = (*session.volume.warnings, *planned.notes, *done.notes)
    return Segmentation(done.label_map, objects, warnings, job.clock.total())


def _composed(
    session: VolumeSession, prompts: Sequence[ObjectPrompt], planned: Plan, facts: Facts, job: Job
) -> Segmentation:
    """A request with phrases that are composed; the other objects are searched for first."""
    volume, numbers = session.volume, list(planned.searched)
    label_map = np.zeros(volume.shape_ijk, dtype=np.uint8)
    results: dict[int, ObjectResult] = {}
    warnings: tuple[str, ...] = (*volume.warnings, *planned.notes)
    if numbers:
        some = job.for_some(numbers, len(prompts))
        searched = _searched(session, planned, facts, some)
        table = np.array([0, *(number + 1 for number in numbers)], dtype=np.uint8)
        label_map, warnings = table[searched.label_map], searched.warnings
        results = {
            number: replace(result, values=tuple(int(table[value]) for value in result.values))
            for number, result in zip(numbers, searched.objects, strict=True)
        }
    look_ahead(planned.composed.values(), facts)
    found: dict[int, FoundObject] = {}
    for number, expression in planned.composed.items():
        job.claim.check()
        found[number] = find_object(expression, facts)
        job.tell((len(numbers) + len(found)) / len(prompts))
    job.clock.lap("compose")
    voxels = Voxels(volume, label_map, session.prepared.record.axes[0])
    done = merge(label_map, results, found, prompts, voxels)
    return Segmentation(done.label_map, done.objects, (*warnings, *done.notes), job.clock.total())


def _writer(engine: Engine) -> ObjectWriter | None:
    return ModelWriter(engine) if writes_queries(engine) else None
