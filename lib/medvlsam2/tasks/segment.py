"""Segmentation: a list of prompts about one scan in, one label map on its grid out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8

from medvlsam2.data import vocabulary
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.device.memory_limit import enough_memory
from medvlsam2.model.device.precision import autocast
from medvlsam2.tasks.answers.agreement import (
    MIN_OVERLAP,
    MIN_REACH,
    are_apart,
    is_another,
    names_no_place,
    needs_words_alone,
    overlap,
    reach,
)
from medvlsam2.tasks.answers.apart import require_together
from medvlsam2.tasks.answers.caveats import caveats
from medvlsam2.tasks.answers.compose import Composition
from medvlsam2.tasks.answers.geometry import (
    EMPTY_BOX_SHARE,
    box_share,
    heed_clicked_voxels,
    is_elsewhere,
    is_learned,
    is_unsure,
    keep_corrected,
    keep_to_boxes,
    known_keys,
    mark_by_intensity,
    sureness,
    what_places,
)
from medvlsam2.tasks.answers.judge import Judge
from medvlsam2.tasks.answers.results import ObjectResult, Voxels, result_of, union_of, unsure
from medvlsam2.tasks.answers.stray import usable_clicks
from medvlsam2.tasks.asking.find import find_all, recognised
from medvlsam2.tasks.asking.job import Job, Progress, SliceShown
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.masks.slice_prompts import GridPrompt, on_slices
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.several import require_one
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.voxel_box import BoxIJK

MAX_OBJECTS = 255
MAX_CLICKS = 128
"""Clicks of one request. Annotators place a few dozen on one object; time and memory grow with their number."""
PARTS_NAMED: Final = 4
"""So many parts of a whole stand in a sentence."""


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
    for prompt in prompts:
        require_together(prompt, volume)
    names = [prompt.display_name for prompt in prompts]
    device, asked_about = torch.device(engine.device), (volume.content_hash if owner is None else owner)
    with engine.claims.claim(asked_about, names) as claim, engine.requests.one(), enough_memory(), autocast(device):
        job = Job(engine, claim, progress or (lambda _: None), shown)
        with job.lease():
            session = engine.session(volume)
        request = _Request.of(session, prompts, job)
        found = request.search()
    return request.answer(found)


@dataclass
class _Request:
    """What is asked about one scan, and what becomes of it.

    Args:
        session: the scan.
        prompts: without clicks that lie beside it.
        composition: which of them are parts of others.
        job: its way.
        notes: sentences for the annotator.
    """

    session: VolumeSession
    prompts: list[ObjectPrompt]
    composition: Composition
    job: Job
    notes: list[str]
    drawn: list[GridPrompt]
    recognised: list[str | None]
    judge: Judge = field(init=False)
    marked: set[int] = field(default_factory=set)
    """Objects that the model itself did not find."""

    def __post_init__(self) -> None:
        self.judge = Judge(self.prompts, self.session.loaded.metadata, self._find_unasked)

    @classmethod
    def of(cls, session: VolumeSession, prompts: Sequence[ObjectPrompt], job: Job) -> _Request:
        """Check the prompts, and tell what boxes without words are drawn round."""
        metadata = session.loaded.metadata
        kept = [usable_clicks(_plain(prompt), session.volume, known_keys(metadata)) for prompt in prompts]
        usable, notes = [one.prompt for one in kept], [note for one in kept for note in one.notes]
        for prompt in usable:
            if prompt.text is not None and not prompt.is_placed:
                require_one(prompt.text)
            notes += caveats(prompt, metadata)
        mask_size = session.loaded.model.sam2.mask_size
        drawn = [on_slices(session.prepared.record, prompt, mask_size) for prompt in usable]
        job.clock.lap("prepare")
        named = [recognised(session, prompt, job.lease) for prompt in usable]
        return cls(session, usable, Composition.of(usable), job, notes, drawn, named)

    def answer(self, found: Mapping[int, Found]) -> Segmentation:
        """Compose the label map, and tell what is in it."""
        volume, record = self.session.volume, self.session.prepared.record
        masks = {number: (one.masks.mask_logits, one.record) for number, one in found.items()}
        label_map = self.composition.label_map(masks, volume.hu)
        keep_to_boxes(label_map, self.prompts, slice_axis=record.axes[0])
        self._leave_nothing_empty(label_map, found)
        keep_corrected(label_map, self.prompts, slice_axis=record.axes[0])
        heed_clicked_voxels(label_map, self.prompts)
        self.job.clock.lap("to_source_grid")
        objects = self._results(found, Voxels(volume, label_map, record.axes[0]))
        self.notes += self.judge.notes
        self._tell_of_wholes()
        self.notes += [
            f"A click for '{prompt.shown_name}' lies in the air beside the body, where the model does not look."
            for prompt, drawn in zip(self.prompts, self.drawn, strict=True)
            if drawn.outside
        ]
        return Segmentation(label_map, objects, (*volume.warnings, *self.notes), self.job.clock.total())

    def search(self) -> dict[int, Found]:
        """Masks by words and geometry; where the two disagree, by geometry alone."""
        asked = {number: self._worded(number) for number in self.composition.searched}
        found = self._find(asked)
        doubted = {
            number: is_elsewhere(one, asked[number])
            for number, one in found.items()
            if self._has_two_voices(asked[number]) and (is_unsure(one) or is_elsewhere(one, asked[number]))
        }
        boxed = self._in_boxes_of_others(asked)
        short = self._short_of_boxes(asked, found)
        pointed = {number: one for number, one in asked.items() if not doubted.get(number) and number not in boxed}
        apart = self._words_apart(pointed) | boxed.keys()
        doubted |= dict.fromkeys(apart, True)
        geometry = {number: replace(asked[number], text=boxed.get(number)) for number in {**doubted, **short}}
        alone = self._find(geometry) if geometry else {}
        for number, one in alone.items():
            is_seen = sureness(one.masks) > 0
            is_better = doubted.get(number) or sureness(one.masks) > sureness(found[number].masks)
            is_other = number in short and overlap(found[number], one) < MIN_OVERLAP
            if number in apart or (is_seen and (is_other or (number in doubted and is_better))):
                found[number] = one
                self._say_that_geometry_wins(number, boxed.get(number))
        self.judge.judge(found)
        return found

    def _in_boxes_of_others(self, asked: Mapping[int, ObjectPrompt]) -> dict[int, str]:
        """Objects in a box that is drawn round something else than their words mean, with the name of that."""
        others: dict[int, str] = {}
        for number, prompt in self._boxed(asked).items():
            key = self.session.structure_in_box(_box_of(prompt), self.job.lease)
            if key is not None and is_another(prompt.text or "", key):
                others[number] = vocabulary.STRUCTURES[key].name
            elif key is not None and names_no_place(prompt.text or ""):
                self.notes.append(
                    f"The box of '{prompt.shown_words}' also fits the {vocabulary.STRUCTURES[key].name}: name the "
                    "segment so if that is meant."
                )
        return others

    def _short_of_boxes(self, asked: Mapping[int, ObjectPrompt], found: Mapping[int, Found]) -> dict[int, None]:
        """Objects that reach through a part of their box alone, where it is drawn round nothing that has a name."""
        return {
            number: None
            for number, prompt in self._boxed(asked).items()
            if 0 not in prompt.point_labels
            and reach(found[number], _box_of(prompt)) < MIN_REACH
            and self.session.structure_in_box(_box_of(prompt), self.job.lease) is None
        }

    def _boxed(self, asked: Mapping[int, ObjectPrompt]) -> dict[int, ObjectPrompt]:
        return {number: one for number, one in asked.items() if one.box_ijk is not None and self._has_two_voices(one)}

    def _words_apart(self, asked: Mapping[int, ObjectPrompt]) -> frozenset[int]:
        """Objects in many pieces whose words alone find nothing where the geometry points."""
        checked = {
            number: prompt
            for number, prompt in asked.items()
            if self._has_two_voices(prompt) and needs_words_alone(prompt)
        }
        if not checked:
            return frozenset()
        by_words = self._find({number: ObjectPrompt(one.text) for number, one in checked.items()}, is_shown=False)
        return frozenset(number for number, one in by_words.items() if are_apart(one, checked[number]))

    def _worded(self, number: int) -> ObjectPrompt:
        """A prompt with the name that was recognised, or without words that the model never learned."""
        prompt = self.prompts[number]
        if prompt.text is None:
            return replace(prompt, text=self.recognised[number])
        learned = known_keys(self.session.loaded.metadata)
        if not self._has_two_voices(prompt) or (prompt.is_understood and is_learned(prompt.text, learned)):
            return prompt
        self.notes.append(
            f"The model never learned what '{prompt.shown_words}' looks like: the {what_places(prompt)} alone "
            f"{'says' if prompt.box_ijk is not None else 'say'} what it is."
        )
        return replace(prompt, text=None)

    @staticmethod
    def _has_two_voices(prompt: ObjectPrompt) -> bool:
        """Whether words and geometry both say what is meant, and nothing is drawn yet that would hold anyway."""
        return prompt.text is not None and prompt.is_placed and prompt.mask is None

    def _say_that_geometry_wins(self, number: int, name: str | None) -> None:
        prompt = self.prompts[number]
        self.recognised[number] = name
        if prompt.text is None:
            return
        seen = "something else" if name is None else f"the {name}"
        self.notes.append(
            f"'{prompt.shown_words}' and the {what_places(prompt)} disagree: the model sees {seen} there. The "
            f"answer is what the {what_places(prompt)} alone {'shows' if prompt.box_ijk is not None else 'show'}."
        )

    def _find(self, asked: Mapping[int, ObjectPrompt], *, is_shown: bool = True) -> dict[int, Found]:
        """Look for some objects, and show them while they are found if they are those of the request."""
        job = self.job if is_shown else replace(self.job, shown=None)
        return dict(zip(asked, find_all(self.session, list(asked.values()), list(asked), job), strict=True))

    def _find_unasked(self, keys: Sequence[str]) -> dict[str, Found]:
        """Look for structures that are no part of the answer."""
        if not keys:
            return {}
        prompts = {number: ObjectPrompt(vocabulary.STRUCTURES[key].name) for number, key in enumerate(keys)}
        return dict(zip(keys, self._find(prompts, is_shown=False).values(), strict=True))

    def _leave_nothing_empty(self, label_map: UInt8[np.ndarray, "i j k"], found: Mapping[int, Found]) -> None:
        """Mark by intensity what is pointed at and was not found."""
        for number in found:
            prompt, value = self.prompts[number], number + 1
            is_in_air = self.drawn[number].outside and prompt.box_ijk is None
            if not prompt.is_placed or prompt.mask is not None or is_in_air or self._is_there(label_map, found, number):
                continue
            mark_by_intensity(label_map, self.session.volume, prompt, value)
            self.marked.add(number)
            self.recognised[number] = None
            self.notes.append(
                f"The model finds nothing at the {what_places(prompt)} of '{prompt.shown_name}': what is marked was "
                "found by its brightness alone. Check it on every slice."
            )

    def _is_there(self, label_map: UInt8[np.ndarray, "i j k"], found: Mapping[int, Found], number: int) -> bool:
        box_ijk = self.prompts[number].box_ijk
        if box_ijk is not None and box_share(found[number], box_ijk) < EMPTY_BOX_SHARE:
            return False
        return bool((label_map == number + 1).any())

    def _results(self, found: Mapping[int, Found], voxels: Voxels) -> tuple[ObjectResult, ...]:
        """Of every prompt in order; of wholes that are nothing but their parts by those."""
        told: dict[int, ObjectResult] = {}
        for number, one in found.items():
            values = [member + 1 for member in self.composition.members(number)]
            result = result_of(self.prompts[number], one, voxels, values)
            result = unsure(result, voxels) if number in self.marked else result
            told[number] = self.judge.confident(number, replace(result, recognised_as=self.recognised[number]))
        for number in self.composition.unions:
            members = self.composition.members(number)
            parts = [told[member] for member in members if member in told]
            values = [member + 1 for member in members]
            told[number] = union_of(self.prompts[number].display_name, parts, voxels, values)
        return tuple(told[number] for number in range(len(self.prompts)))

    def _tell_of_wholes(self) -> None:
        for number, parts in self.composition.parts.items():
            names = [f"'{self.prompts[part].shown_name}'" for part in parts]
            shown = ", ".join(names[:PARTS_NAMED]) + (
                f" and {len(names) - PARTS_NAMED} more" * (len(names) > PARTS_NAMED)
            )
            own = "has no voxel of its own" if number in self.composition.unions else "has the rest"
            self.notes.append(
                f"'{self.prompts[number].shown_name}' is the union with {shown}: each part keeps its own value in "
                f"the label map, and the whole {own}."
            )


def _plain(prompt: ObjectPrompt) -> ObjectPrompt:
    """The prompt without what software adds to names, under the name that was written."""
    if prompt.text is None or plain(prompt.text) == prompt.text:
        return prompt
    return replace(prompt, text=plain(prompt.text), name=prompt.name or prompt.text.strip())


def _box_of(prompt: ObjectPrompt) -> BoxIJK:
    assert prompt.box_ijk is not None
    return prompt.box_ijk
