"""Segmentation: from prompts about one scan to one label map on the scan's grid."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8

from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.device.memory_limit import enough_memory
from medvlsam2.model.device.precision import autocast
from medvlsam2.tasks.answers.apart import require_together
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.asking.asked import Asked
from medvlsam2.tasks.asking.job import Job, Progress, SliceShown
from medvlsam2.tasks.asking.outcome import outcome
from medvlsam2.tasks.asking.words_and_geometry import WordsAndGeometry
from medvlsam2.tasks.engine.engine import Engine
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
) -> Segmentation:
    """Find the objects that prompts name or point at.

    Args:
        engine: the model.
        volume: the scan.
        prompts: one per object; up to 255.
        progress: called with the share of work done, 0..1.
        shown: called with the number of the prompt and each slice of the scan as soon as a mask is there.
        owner: stands for who asks about which image. A later request of the same owner for the same objects, or for
            these and others, replaces this one. None: all requests about the scan have one owner.

    Raises:
        DeviceFull: if the device's memory does not suffice.
        InvalidPrompt: on no prompt or too many, too many clicks, a click outside the scan or its box, an inverted or
            empty box.
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
    names = [prompt.display_name for prompt in prompts]
    device, asked_about = torch.device(engine.device), (volume.content_hash if owner is None else owner)
    with engine.claims.claim(asked_about, names) as claim, engine.requests.one(), enough_memory(), autocast(device):
        job = Job(engine, claim, progress or (lambda _: None), shown)
        with job.lease():
            session = engine.session(volume)
        asked = Asked.of(session, prompts)
        job.clock.lap("prepare")
        search = WordsAndGeometry(session, asked, job)
        found = search.search()
    done = outcome(search, found)
    return Segmentation(done.label_map, done.objects, (*volume.warnings, *done.notes), job.clock.total())
