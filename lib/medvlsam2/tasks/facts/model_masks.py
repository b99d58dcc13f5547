"""Masks of many names in one search, each the very mask that ``segment`` gives for that name alone.

``segment`` puts the objects of one request into one label map, where they compete for voxels, and a part takes voxels
from its whole. Here each name has a mask of its own: the search looks for all of them together, then every mask is
judged and brought to the scan's grid as if it had been the only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import torch
from cachetools import LRUCache

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import is_plural, plural
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.device.memory_limit import enough_memory
from medvlsam2.model.device.precision import autocast
from medvlsam2.tasks.answers.confidence import Calibration
from medvlsam2.tasks.answers.geometry import is_learned, known_keys
from medvlsam2.tasks.answers.judge import Judge
from medvlsam2.tasks.answers.results import absence_of
from medvlsam2.tasks.asking.find import find_all
from medvlsam2.tasks.asking.job import Job
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.masks.slice_prompts import place
from medvlsam2.tasks.measure.body_axis import ScanRange
from medvlsam2.tasks.measure.lesions import is_countable
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.sources.mask_source import Seen
from medvlsam2.tasks.measure.sources.whole_masks import is_told
from medvlsam2.tasks.measure.structures import QuickLook
from medvlsam2.tasks.phrases.wholes import is_union_of
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.transforms.label_map import label_map_to_source

KEPT_SEARCHES: Final = 8
"""Results of so many searches are kept before they are judged: organs by which the side of others is told."""
UNTOLD: Final = (
    "The {name} is not among what this model tells reliably by name: what is marked may be a neighbour. Check it."
)
UNSEEN: Final = "The {name} is not among what this model tells reliably, and nothing is marked."

NOT_LEARNED: Final = "The model was not taught to find {it}."


@dataclass
class ModelMasks:
    """Masks by the model's names for structures and findings.

    Args:
        engine: the model.
        session: the scan as this model sees it.
    """

    engine: Engine
    session: VolumeSession
    _raw: LRUCache[str, Found] = field(default_factory=lambda: LRUCache(KEPT_SEARCHES), repr=False)
    _looked: tuple[QuickLook | None] | None = field(default=None, repr=False)

    @property
    def volume(self) -> CTVolume:
        """The scan."""
        return self.session.volume

    @property
    def structures(self) -> Sequence[str]:
        """Structures on which the model was measured, as its card says."""
        return [key for key in self._card("structures") if not vocabulary.STRUCTURES[key].is_finding]

    @property
    def findings(self) -> Sequence[str]:
        """Findings on which the model was measured."""
        return self._card("findings")

    def knows(self, key: str) -> bool:
        """Whether the model learned what a name means."""
        return bool(self._learned) and is_learned(vocabulary.STRUCTURES[key].name, self._learned)

    def why_unknown(self, key: str) -> str:
        """The model did not learn it."""
        return NOT_LEARNED.format(it=in_general(key))

    def see(self, keys: Sequence[str]) -> Mapping[str, Seen]:
        """Look for some names."""
        engine, names = self.engine, [vocabulary.STRUCTURES[key].name for key in keys]
        device = torch.device(engine.device)
        # The place of the claim is nobody else's: no other request replaces this search.
        with engine.claims.claim(object(), names) as claim, engine.requests.one(), enough_memory(), autocast(device):
            search = _Names(self.session, Job(engine, claim, _untold, None), self._raw)
            search.find(keys)
            return {key: self._seen(key, search) for key in keys}

    def glimpses(self, key: str) -> bool:
        """Whether its quick mask, or that of one of its parts, has a part of some size."""
        look = self._quick()
        return look is not None and not anatomy.leaves(key).isdisjoint(look.keys)

    def region(self) -> Region | None:
        """The part of the body, from quick masks of all structures."""
        look = self._quick()
        return None if look is None else look.region

    def scan_range(self) -> ScanRange | None:
        """The part of the body axis that the scan covers, from the same quick masks."""
        look = self._quick()
        return None if look is None else look.scan_range

    def _quick(self) -> QuickLook | None:
        if self._looked is None:
            with self.engine.requests.one(), self.engine.lease():
                self._looked = (self.session.quick_look(self.engine.device_lock.give_way),)
        return self._looked[0]

    @cached_property
    def _learned(self) -> frozenset[str]:
        return known_keys(self.session.loaded.metadata)

    def _card(self, part: str) -> list[str]:
        return [key for key in self.session.loaded.metadata.get(part, ()) if key in vocabulary.STRUCTURES]

    def _seen(self, key: str, search: _Names) -> Seen:
        mask, confidence, notes = search.judged(key)
        name = vocabulary.STRUCTURES[key].name
        if is_told(key, self) or is_union_of(key, {*self.structures, *self.findings}):
            return Seen("absent" if mask is None else "present", mask, confidence, " ".join(notes))
        if mask is None:
            return Seen("not assessed", reason=UNSEEN.format(name=name))
        return Seen("present", mask, confidence, " ".join([UNTOLD.format(name=name), *notes]))


@dataclass
class _Names:
    """One search for names."""

    session: VolumeSession
    job: Job
    raw: LRUCache[str, Found]
    found: dict[str, Found] = field(default_factory=dict)

    def find(self, keys: Sequence[str]) -> Mapping[str, Found]:
        """Results for some names as they were found, before anything was judged; each name is searched for once."""
        self.found |= {key: self.raw[key] for key in keys if key in self.raw and key not in self.found}
        missing = [key for key in keys if key not in self.found]
        if missing:
            prompts = [_prompt(key) for key in missing]
            placed = [place(self.session.whole, prompt) for prompt in prompts]
            done = find_all(self.session, placed, range(len(placed)), self.job)
            self.found |= dict(zip(missing, done, strict=True))
            self.raw.update({key: self.found[key] for key in missing})
        return {key: self.found[key] for key in keys}

    def judged(self, key: str) -> tuple[KeptMask | None, float, list[str]]:
        """Mask on the scan's grid, confidence and notes of one name, as if it was asked for alone."""
        prompt, found = _prompt(key), _copy(self.found[key])
        judge = Judge([prompt], self.session.loaded.metadata, self._helpers)
        judge.judge({0: found})
        label_map = label_map_to_source([(found.masks.mask_logits, found.record)], self.session.volume.hu)
        mask = KeptMask.of(label_map > 0)
        sure = judge.seen[0]
        calibration = Calibration.of(self.session.loaded.metadata, prompt.text or "")
        if calibration is not None:
            return mask, calibration.confidence(sure, present=mask is not None), judge.notes
        return mask, sure if mask is not None else absence_of(found), judge.notes

    def _helpers(self, keys: Sequence[str]) -> Mapping[str, Found]:
        return self.find(keys) if keys else {}


def _prompt(key: str) -> ObjectPrompt:
    return ObjectPrompt(vocabulary.STRUCTURES[key].name)


def _copy(found: Found) -> Found:
    """A result whose mask may be changed; helpers keep theirs."""
    return replace(found, masks=replace(found.masks, mask_logits=found.masks.mask_logits.clone()))


def _untold(_: float) -> None:
    """Progress that nobody follows."""


def in_general(key: str) -> str:
    """Return the words for any thing of a name: "the tongue", "ascites", "liver cysts".

    Example:
        >>> in_general("ascites"), in_general("liver_cyst"), in_general("tongue")
        ('ascites', 'liver cysts', 'the tongue')
    """
    known = vocabulary.STRUCTURES[key]
    if not known.is_finding:
        return anatomy.the(key)
    return plural(known.name) if is_countable(key) and not is_plural(known.name) else known.name
