"""Searches for the objects of a request; where words and geometry disagree, the geometry decides.

"Geometry" is what the annotator drew: a click, a stroke or a box. An object that has both words and geometry is first
searched for with both. Four signs tell that the two mean different things. The object is then searched for again
without its words:

* the result is unsure, or for the most part not where the geometry is (:mod:`medvlsam2.tasks.answers.geometry`);
* the box is drawn round a structure that the words do not mean;
* the result spans only a part of its box, and the box is round nothing that has a name;
* the words may mean many pieces, and what they find alone is not where the geometry is
  (:mod:`medvlsam2.tasks.answers.agreement`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from medvlsam2.data import vocabulary
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
from medvlsam2.tasks.answers.geometry import (
    is_elsewhere,
    is_learned,
    is_unsure,
    known_keys,
    sureness,
    what_places,
)
from medvlsam2.tasks.answers.judge import Judge
from medvlsam2.tasks.asking.asked import Asked
from medvlsam2.tasks.asking.find import find_all, recognised
from medvlsam2.tasks.asking.job import Job
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.masks.slice_prompts import PlacedPrompt, place
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.voxel_box import BoxIJK

Objects = Mapping[int, PlacedPrompt]
"""Objects by their number in the request."""


@dataclass
class WordsAndGeometry:
    """The searches of one request.

    Args:
        session: the scan.
        asked: what is asked.
        job: the request on its way.
    """

    session: VolumeSession
    asked: Asked
    job: Job
    recognised: list[str | None] = field(init=False)
    """For each object the name of the structure that its box was taken to be drawn round."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the annotator."""
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.recognised = [recognised(self.session, prompt, self.job.lease) for prompt in self.asked.prompts]
        self.judge = Judge(self.asked.prompts, self.session.loaded.metadata, self._find_unasked)

    def search(self) -> dict[int, Found]:
        """Masks of every object that has to be searched for, judged."""
        asked = {number: self._worded(number) for number in self.asked.composition.searched}
        found = self._find(asked)
        # Signs that words and geometry disagree. The value in `doubted` says whether the mask is certainly elsewhere.
        # If so, any mask of the geometry alone is better. Otherwise the surer of both masks is kept.
        doubted = {
            number: is_elsewhere(one, asked[number].prompt)
            for number, one in found.items()
            if _has_two_voices(asked[number].prompt) and (is_unsure(one) or is_elsewhere(one, asked[number].prompt))
        }
        boxed = self._in_boxes_of_others(asked)
        short = self._short_of_boxes(asked, found)
        pointed = {number: one for number, one in asked.items() if not doubted.get(number) and number not in boxed}
        apart = self._words_apart(pointed) | boxed.keys()
        doubted |= dict.fromkeys(apart, True)
        # The second search: without words, or with the name of the structure that the box is drawn round.
        geometry = {number: asked[number].with_text(boxed.get(number)) for number in {**doubted, **short}}
        alone = self._find(geometry) if geometry else {}
        for number, one in alone.items():
            # Words that certainly mean something else lose even if the geometry alone finds nothing.
            is_seen = sureness(one.masks) > 0
            is_better = doubted.get(number) or sureness(one.masks) > sureness(found[number].masks)
            is_other = number in short and overlap(found[number], one) < MIN_OVERLAP
            if number in apart or (is_seen and (is_other or (number in doubted and is_better))):
                found[number] = one
                self._say_that_geometry_wins(number, boxed.get(number))
        self.judge.judge(found)
        return found

    def _worded(self, number: int) -> PlacedPrompt:
        """An object with the name that was recognised, or without words that the model never learned."""
        placed = self.asked.objects[number]
        prompt = placed.prompt
        if prompt.text is None:
            return placed.with_text(self.recognised[number])
        learned = known_keys(self.session.loaded.metadata)
        if not _has_two_voices(prompt) or (prompt.is_understood and is_learned(prompt.text, learned)):
            return placed
        self.notes.append(
            f"The model never learned what '{prompt.shown_words}' looks like: the {what_places(prompt)} alone "
            f"{'says' if prompt.box_ijk is not None else 'say'} what it is."
        )
        return placed.with_text(None)

    def _in_boxes_of_others(self, asked: Objects) -> dict[int, str]:
        """Objects whose box is drawn round something else than their words mean, with the name of that structure."""
        others: dict[int, str] = {}
        for number, prompt in _boxed(asked).items():
            key = self.session.structure_in_box(_box_of(prompt), self.job.lease)
            if key is not None and is_another(prompt.text or "", key):
                others[number] = vocabulary.STRUCTURES[key].name
            elif key is not None and names_no_place(prompt.text or ""):
                self.notes.append(
                    f"The box of '{prompt.shown_words}' also fits the {vocabulary.STRUCTURES[key].name}: name the "
                    "segment so if that is meant."
                )
        return others

    def _short_of_boxes(self, asked: Objects, found: Mapping[int, Found]) -> dict[int, None]:
        """Objects that span only a part of their box, where the box is drawn round nothing that has a name."""
        return {
            number: None
            for number, prompt in _boxed(asked).items()
            if 0 not in prompt.point_labels
            and reach(found[number], _box_of(prompt)) < MIN_REACH
            and self.session.structure_in_box(_box_of(prompt), self.job.lease) is None
        }

    def _words_apart(self, asked: Objects) -> frozenset[int]:
        """Objects in many pieces whose words alone find nothing where the geometry is."""
        checked = {
            number: one.prompt
            for number, one in asked.items()
            if _has_two_voices(one.prompt) and needs_words_alone(one.prompt)
        }
        if not checked:
            return frozenset()
        by_words = self._find({number: self._words_of(one) for number, one in checked.items()}, is_shown=False)
        return frozenset(number for number, one in by_words.items() if are_apart(one, checked[number]))

    def _say_that_geometry_wins(self, number: int, name: str | None) -> None:
        prompt = self.asked.objects[number].prompt
        self.recognised[number] = name
        if prompt.text is None:
            return
        seen = "something else" if name is None else f"the {name}"
        self.notes.append(
            f"'{prompt.shown_words}' and the {what_places(prompt)} disagree: the model sees {seen} there. The "
            f"answer is what the {what_places(prompt)} alone {'shows' if prompt.box_ijk is not None else 'show'}."
        )

    def _find(self, asked: Objects, *, is_shown: bool = True) -> dict[int, Found]:
        """Search for some objects; ``is_shown`` tells the caller of each slice that is done."""
        job = self.job if is_shown else replace(self.job, shown=None)
        return dict(zip(asked, find_all(self.session, list(asked.values()), list(asked), job), strict=True))

    def _find_unasked(self, keys: Sequence[str]) -> dict[str, Found]:
        """Search for structures that are no part of the answer but tell left from right."""
        if not keys:
            return {}
        named = {n: self._words_of(ObjectPrompt(vocabulary.STRUCTURES[key].name)) for n, key in enumerate(keys)}
        return dict(zip(keys, self._find(named, is_shown=False).values(), strict=True))

    def _words_of(self, prompt: ObjectPrompt) -> PlacedPrompt:
        return place(self.session.whole, ObjectPrompt(prompt.text))


def _has_two_voices(prompt: ObjectPrompt) -> bool:
    """Whether words and geometry both say what is meant. A mask that is drawn already holds whatever they say."""
    return prompt.text is not None and prompt.is_placed and prompt.mask is None


def _boxed(asked: Objects) -> dict[int, ObjectPrompt]:
    """Prompts with words and a box."""
    prompts = {number: one.prompt for number, one in asked.items()}
    return {number: one for number, one in prompts.items() if one.box_ijk is not None and _has_two_voices(one)}


def _box_of(prompt: ObjectPrompt) -> BoxIJK:
    assert prompt.box_ijk is not None
    return prompt.box_ijk
