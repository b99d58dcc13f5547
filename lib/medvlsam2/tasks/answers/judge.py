"""Checks masks found by words alone: are they on the named side, and sure enough for the object to be present?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medvlsam2.data import vocabulary
from medvlsam2.model.propagation.object_query import EMPTY_LOGIT
from medvlsam2.tasks.answers.confidence import Calibration
from medvlsam2.tasks.answers.geometry import known_keys, sureness
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.answers.sides import CORD, Bound, bind_to_side, helpers, warning
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.phrases.sides import Sided, side_in
from medvlsam2.tasks.prompts import ObjectPrompt

FindByName = Callable[[Sequence[str]], Mapping[str, Found]]
"""Masks of structures by their vocabulary keys."""


@dataclass
class Judge:
    """Judges the objects of one request.

    Args:
        prompts: of the request.
        metadata: of the model.
        find: searches for structures that nobody asked for but that tell left from right.
    """

    prompts: Sequence[ObjectPrompt]
    metadata: Mapping[str, Any]
    find: FindByName
    notes: list[str] = field(default_factory=list)
    seen: dict[int, float] = field(default_factory=dict)
    """How surely each object was seen, by its number, before it was judged absent."""

    def judge(self, found: Mapping[int, Found]) -> None:
        """Remove what lies on the wrong side, and empty masks that are too unsure; masks are changed in place."""
        named = {number: one for number, one in found.items() if self._is_by_words(number)}
        bound = self._bind(named)
        for number, one in named.items():
            self.seen[number] = sureness(one.masks)
            calibration = self._calibration(number)
            if calibration is not None and not calibration.is_present(self.seen[number]):
                one.masks.mask_logits.fill_(EMPTY_LOGIT)
        for number, (side, became) in bound.items():
            note = warning(self.prompts[number].shown_name, side, became, is_left=found[number].is_anywhere)
            self.notes += [note] if note is not None else []

    def confident(self, number: int, result: ObjectResult) -> ObjectResult:
        """The result with its calibrated confidence, if the model's card has a calibration."""
        calibration = self._calibration(number) if number in self.seen else None
        if calibration is None:
            return result
        sure = self.seen[number]
        return replace(result, sureness=sure, confidence=calibration.confidence(sure, present=result.present))

    def _bind(self, found: Mapping[int, Found]) -> dict[int, tuple[Sided, Bound]]:
        """The named side of each object, and what was removed from its mask."""
        bound = {number: side_in(self.prompts[number].text or "") for number in found}
        sided = {number: one for number, one in bound.items() if one is not None and found[number].is_anywhere}
        if not sided:
            return {}
        organs = self._organs(sided, found)
        return {number: (side, bind_to_side(found[number], side, organs)) for number, side in sided.items()}

    def _organs(self, sided: Mapping[int, Sided], found: Mapping[int, Found]) -> dict[str, Found]:
        """Masks of the structures that tell left from right; those that nobody asked for are searched for now."""
        asked = {vocabulary.lookup(self.prompts[number].text or ""): one for number, one in found.items()}
        have = {structure.key: one for structure, one in asked.items() if structure is not None}
        learned = known_keys(self.metadata)
        needed = {key for one in sided.values() for key in helpers(one) if key != CORD}
        have |= self.find([key for key in sorted(needed - have.keys()) if key in learned])
        is_all_seen = all(key in have and have[key].is_anywhere for key in needed)
        is_all_named = all(one.organ is not None for one in sided.values())
        if CORD in learned and CORD not in have and not (is_all_seen and is_all_named):
            have |= self.find([CORD])
        return have

    def _is_by_words(self, number: int) -> bool:
        prompt = self.prompts[number]
        return prompt.text is not None and not prompt.is_placed

    def _calibration(self, number: int) -> Calibration | None:
        return Calibration.of(self.metadata, self.prompts[number].text or "")
