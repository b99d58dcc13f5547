"""Segmentation: a list of prompts about one scan in, one label map on its grid out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from medvlsam2.data import vocabulary
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.geometry import spacing_mm, voxel_volume_ml
from medvlsam2.model.memory_limit import enough_memory
from medvlsam2.model.object_query import ObjectMasks, Turn
from medvlsam2.model.precision import autocast
from medvlsam2.tasks.diameter import longest_diameter_mm
from medvlsam2.tasks.engine import Engine
from medvlsam2.tasks.looks import Found, Search, Wanted
from medvlsam2.tasks.prompts import ON_OBJECT, ObjectPrompt
from medvlsam2.tasks.session import VolumeSession
from medvlsam2.tasks.slice_prompts import on_slices
from medvlsam2.tasks.turns import Claim
from medvlsam2.transforms.spatial import label_map_to_source
from medvlsam2.transforms.window import Window, window_at, window_of_box

MAX_OBJECTS = 255
MAX_CLICKS = 128
"""Clicks of one request. Annotators place a few dozen on one object; time and memory grow with their number."""

Progress = Callable[[float], None]
SliceShown = Callable[[int, int], None]


@dataclass(frozen=True)
class ObjectResult:
    """What was found for one prompt."""

    name: str
    present: bool
    """False: the model says that it is not in this scan."""
    confidence: float
    """0..1: mean over the object's slices of object score x predicted IoU; where absent, of its absence."""
    volume_ml: float
    diameter_mm: float
    """Longest diameter on one slice."""
    slice_confidence: dict[int, float]
    """Confidence by slice index along the scan's own slice axis, for slices that hold the object."""
    slice_to_fix: int | None
    """Where the next correction helps most: the least sure of those slices, prompted ones left out."""
    recognised_as: str | None = None
    """Name of the structure that a box without words was taken to be drawn round."""


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
        owner: who asks about which image, as the caller tells them apart. A later request of the same owner for the
            same objects, or for more, replaces this one. None: about the scan's content, whoever asks.

    Raises:
        DeviceFull: if the device's memory does not suffice.
        InvalidPrompt: on no prompt or too many, too many clicks, a click outside the scan, an inverted or empty box.
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
    names = [prompt.display_name for prompt in prompts]
    device, asked_about = torch.device(engine.device), (volume.content_hash if owner is None else owner)
    with engine.claims.claim(asked_about, names) as claim, engine.requests.one(), enough_memory(), autocast(device):
        job = _Job(engine, claim, progress or (lambda _: None), shown)
        with job.turn():
            session = engine.session(volume)
        record, mask_size = session.prepared.record, session.loaded.model.sam2.mask_size
        geometric = [on_slices(record, prompt, mask_size) for prompt in prompts]
        job.clock.lap("prepare")
        recognised = [_recognised(session, prompt, job.turn) for prompt in prompts]
        asked = [replace(prompt, text=prompt.text or name) for prompt, name in zip(prompts, recognised, strict=True)]
        windows = [_window(volume, prompt) for prompt in asked]
        with job.turn():
            tokens = _text_tokens(session, asked)
        job.clock.lap("language")
        wanted = [Wanted(prompt, token) for prompt, token in zip(asked, tokens, strict=True)]
        masks = _masks(session, wanted, windows, job)
    label_map = label_map_to_source([(found.masks.mask_logits, found.record) for found in masks], volume.hu)
    _keep_corrected(label_map, prompts, slice_axis=record.axes[0])
    job.clock.lap("to_source_grid")
    objects = tuple(
        replace(_result(session, prompt, found.masks, label_map, number), recognised_as=name)
        for number, (prompt, found, name) in enumerate(zip(prompts, masks, recognised, strict=True), start=1)
    )
    outside = tuple(
        f"A click for '{prompt.display_name}' lies in the air beside the body, where the model does not look."
        for prompt, drawn in zip(prompts, geometric, strict=True)
        if drawn.outside
    )
    return Segmentation(label_map, objects, (*volume.warnings, *outside), job.clock.total())


def _masks(session: VolumeSession, wanted: list[Wanted], windows: list[Window], job: _Job) -> list[Found]:
    by_window: dict[Window, list[int]] = defaultdict(list)
    for number, window in enumerate(windows):
        by_window[window].append(number)
    record = session.prepared.record
    found: dict[int, Found] = {}
    for window, numbers in by_window.items():

        def tell(query: int, slice_number: int, _: ObjectMasks, numbers: list[int] = numbers) -> None:
            if job.shown is not None:
                job.shown(numbers[query], record.source_slice(slice_number))

        chosen = [wanted[number] for number in numbers]
        search = Search(session, window, chosen, turn=job.turn, shown=tell)
        masks = search.find(across=job.engine.looks_across)
        found |= dict(zip(numbers, masks, strict=True))
        job.clock.lap("masks")
        job.progress(len(found) / len(wanted))
    if job.engine.read_ahead is not None:
        used = {(one.view, windows[number]): None for number, one in found.items()}
        for view, window in used:
            job.engine.read_ahead.want(view.features(window))
    return [found[number] for number in range(len(wanted))]


def _recognised(session: VolumeSession, prompt: ObjectPrompt, turn: Turn) -> str | None:
    """Name of the known structure that a box without words is drawn round."""
    if prompt.text is not None or prompt.box_ijk is None or prompt.mask is not None:
        return None
    key = session.structure_in_box(prompt.box_ijk, turn)
    return None if key is None else vocabulary.STRUCTURES[key].name


def _text_tokens(session: VolumeSession, prompts: Sequence[ObjectPrompt]) -> list[Float[Tensor, " c"] | None]:
    phrases = [prompt.text for prompt in prompts if prompt.text is not None]
    tokens = iter(session.text_tokens(phrases)) if phrases else iter(())
    return [next(tokens) if prompt.text is not None else None for prompt in prompts]


def _window(volume: CTVolume, prompt: ObjectPrompt) -> Window:
    """From the words; without them from what the box holds, the HU under the click, or of what was drawn."""
    by_words = prompt.window()
    if by_words is not None:
        return by_words
    clicked = [
        _window_at(volume, point) for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True) if label
    ]
    if prompt.box_ijk is not None:
        found = window_of_box(volume.hu, prompt.box_ijk)
        agreed = len(clicked) > 1 and len(set(clicked)) == 1
        return clicked[0] if found == "soft" and agreed else found
    if clicked:
        return max(sorted(set(clicked)), key=clicked.count)
    drawn = prompt.scribbles == ON_OBJECT if prompt.scribbles is not None else prompt.mask
    return window_at(float(np.median(volume.hu[drawn])))


def _window_at(volume: CTVolume, point_ijk: tuple[float, float, float]) -> Window:
    i, j, k = (int(np.clip(round(p), 0, s - 1)) for p, s in zip(point_ijk, volume.shape_ijk, strict=True))
    return window_at(float(np.median(volume.hu[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, k])))


def _keep_corrected(label_map: UInt8[np.ndarray, "i j k"], prompts: Sequence[ObjectPrompt], *, slice_axis: int) -> None:
    """Put corrected slices back as they were drawn, voxel by voxel: the model's grid is coarser than the scan's."""
    slices = np.moveaxis(label_map, slice_axis, 0)
    for number, prompt in enumerate(prompts, start=1):
        if prompt.mask is None:
            continue
        clicked = {round(point[slice_axis]) for point in prompt.points_ijk}
        for index in set(prompt.mask_slices) - clicked:
            drawn = np.moveaxis(prompt.mask, slice_axis, 0)[index]
            slices[index][slices[index] == number] = 0
            slices[index][drawn] = number


def _result(
    session: VolumeSession,
    prompt: ObjectPrompt,
    found: ObjectMasks,
    label_map: UInt8[np.ndarray, "i j k"],
    number: int,
) -> ObjectResult:
    record = session.prepared.record
    slices = np.moveaxis(label_map, record.axes[0], 0)
    voxels = sum(int(np.count_nonzero(one == number)) for one in slices)
    height_mm, width_mm = np.delete(spacing_mm(session.volume.affine), record.axes[0]).tolist()
    score = found.object_score_logits.float().sigmoid()
    confidence = (score * found.iou.float().clamp(0, 1)).cpu()
    holds = torch.nonzero((found.mask_logits > 0).flatten(1).any(dim=1)).flatten().tolist()
    mean = float(confidence[holds].mean()) if voxels and holds else float(1 - score.max())
    open_to_doubt = [d for d in holds if d not in found.conditioning_slices]
    return ObjectResult(
        name=prompt.display_name,
        present=voxels > 0,
        confidence=mean,
        volume_ml=voxels * voxel_volume_ml(session.volume.affine),
        diameter_mm=longest_diameter_mm((one == number for one in slices), (height_mm, width_mm)),
        slice_confidence={record.source_slice(d): float(confidence[d]) for d in holds},
        slice_to_fix=(
            record.source_slice(min(open_to_doubt, key=lambda d: float(confidence[d]))) if open_to_doubt else None
        ),
    )


class _Clock:
    """Seconds spent in each part of a request."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Add the time since the last lap to a part."""
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now

    def total(self) -> dict[str, float]:
        """All parts and their sum."""
        return {**self.laps, "total": time.perf_counter() - self.start}


@dataclass
class _Job:
    """One request on its way."""

    engine: Engine
    claim: Claim
    progress: Progress
    shown: SliceShown | None
    clock: _Clock = field(default_factory=_Clock)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have the device for a step, unless a later request has replaced this one."""
        with self.engine.turn():
            self.claim.check()
            yield
