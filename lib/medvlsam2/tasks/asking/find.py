"""Searches for several objects at once, each in the window in HU that its words or its place call for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from medvlsam2.data import vocabulary
from medvlsam2.data.structures.table import Window
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.propagation.object_query import Lease, ObjectMasks
from medvlsam2.tasks.asking.job import Job
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.masks.search import Found, Search, Wanted
from medvlsam2.tasks.masks.slice_prompts import PlacedPrompt
from medvlsam2.tasks.prompts import ON_OBJECT, ObjectPrompt
from medvlsam2.transforms.window import window_at, window_of_box
from medvlsam2.voxel_box import voxel_of


def find_all(session: VolumeSession, asked: Sequence[PlacedPrompt], numbers: Sequence[int], job: Job) -> list[Found]:
    """Search for some objects.

    Args:
        session: the scan.
        asked: the objects.
        numbers: of these objects in their request; the caller is told of finished slices by them.
        job: the request.
    """
    windows = [_window(session.volume, one.prompt) for one in asked]
    with job.lease():
        tokens = _text_tokens(session, [one.prompt for one in asked])
    job.clock.lap("language")
    wanted = [Wanted(one, token) for one, token in zip(asked, tokens, strict=True)]
    return _in_windows(session, wanted, windows, numbers, job)


def recognised(session: VolumeSession, prompt: ObjectPrompt, lease: Lease) -> str | None:
    """Name of the known structure that a box without words is drawn round; None where there is no such box.

    Args:
        session: the scan.
        prompt: with or without a box.
        lease: entered for each step on the device.
    """
    if prompt.text is not None or prompt.box_ijk is None or prompt.mask is not None:
        return None
    key = session.structure_in_box(prompt.box_ijk, lease)
    return None if key is None else vocabulary.STRUCTURES[key].name


def _in_windows(
    session: VolumeSession, wanted: Sequence[Wanted], windows: Sequence[Window], numbers_asked: Sequence[int], job: Job
) -> list[Found]:
    by_window: dict[Window, list[int]] = defaultdict(list)
    for number, window in enumerate(windows):
        by_window[window].append(number)
    record = session.prepared.record
    found: dict[int, Found] = {}
    for window, numbers in by_window.items():

        def tell(query: int, slice_number: int, _: ObjectMasks, numbers: list[int] = numbers) -> None:
            if job.shown is not None:
                job.shown(numbers_asked[numbers[query]], record.source_slice(slice_number))

        chosen = [wanted[number] for number in numbers]
        search = Search(session, window, chosen, lease=job.lease, shown=tell)
        masks = search.find(across=job.engine.uses_coronal_views)
        found |= dict(zip(numbers, masks, strict=True))
        job.clock.lap("masks")
        job.tell(len(found) / len(wanted))
    if job.engine.read_ahead is not None:
        used = {(one.view, windows[number]): None for number, one in found.items()}
        for view, window in used:
            job.engine.read_ahead.want(view.features(window))
    return [found[number] for number in range(len(wanted))]


def _text_tokens(session: VolumeSession, prompts: Sequence[ObjectPrompt]) -> list[Float[Tensor, " c"] | None]:
    phrases = [prompt.text for prompt in prompts if prompt.text is not None]
    tokens = iter(session.text_tokens(phrases)) if phrases else iter(())
    return [next(tokens) if prompt.text is not None else None for prompt in prompts]


def _window(volume: CTVolume, prompt: ObjectPrompt) -> Window:
    """Chosen by the words; without words by the HU in the box, under the clicks, or of what was drawn."""
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
    i, j, k = voxel_of(point_ijk, volume.shape_ijk)
    return window_at(float(np.median(volume.hu[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, k])))
