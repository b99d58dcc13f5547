"""Questions about a scan with answers that follow from its facts: structures, region, phase, plane and modality.

``lesion_questions`` adds the questions about findings. No question asks about a structure that the facts do not list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ContrastPhase, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.asking import question_wording as wording
from medvlsam2.data.language.asking.drafts import (
    NUM_WRONG,
    Draft,
    QuestionAnswer,
    finish,
    yes_no,
)
from medvlsam2.data.language.asking.lesion_questions import lesion_drafts
from medvlsam2.data.language.grammar import be, join, sentence, shuffled

_MAX_PRESENCE = 4
_MAX_NUMBERED = 1
_CLEARLY_LARGER = 1.2
_HARD_SHARE = 0.5
"""Probability that the absent structures of a choice are structures that the region should show."""


def questions(facts: ScanFacts, rng: np.random.Generator) -> list[QuestionAnswer]:
    """Return all questions about this scan in random order, each with one style of answer."""
    drafts = [*_scan_drafts(facts, rng), *lesion_drafts(facts, rng)]
    return shuffled(rng, [finish(draft, rng) for draft in drafts])


def _scan_drafts(facts: ScanFacts, rng: np.random.Generator) -> list[Draft]:
    """Return the questions about structures and about the scan itself, with answers in every style."""
    makers: Sequence[Callable[[ScanFacts, np.random.Generator], Iterator[Draft]]] = (
        _presence,
        _which_visible,
        _region,
        _phase,
        _plane_and_modality,
        _larger_side,
    )
    return [draft for maker in makers for draft in maker(facts, rng)]


def _presence(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    """Yield questions for the presence of structures, with about as many "yes" as "no"."""
    present = _mixed(facts.volumes_ml, rng)
    absent = _mixed(facts.absent, rng)
    if absent:
        present = present[: len(absent) + 1]
    for key in (*present, *absent):
        seen = key in facts.volumes_ml
        spoken = anatomy.the(key)
        verb = be(anatomy.name(key))
        long = f"yes, {spoken} {verb} visible" if seen else f"no, {spoken} {verb} not visible"
        yield Draft("presence", wording.PRESENCE.draw(rng, is_=verb, the=spoken), yes_no(seen), sentence(long))


def _mixed(keys: Iterable[str], rng: np.random.Generator) -> list[str]:
    """Return a few structures, with at most one vertebra or rib among them."""
    mixed = shuffled(rng, [key for key in keys if key != "body"])
    numbered = [key for key in mixed if anatomy.is_numbered(key)]
    plain = [key for key in mixed if not anatomy.is_numbered(key)]
    return plain[: _MAX_PRESENCE - _MAX_NUMBERED] + numbered[:_MAX_NUMBERED]


def _which_visible(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    present = [key for key in shuffled(rng, list(facts.volumes_ml)) if not anatomy.is_numbered(key) and key != "body"]
    absent = shuffled(rng, [key for key in facts.absent if not anatomy.is_numbered(key)])
    if rng.random() < _HARD_SHARE:
        absent = _nearest_first(facts, absent)
    if present and len(absent) >= NUM_WRONG:
        yield _which(present[0], absent[:NUM_WRONG], rng, seen=True)
    if absent and len(present) >= NUM_WRONG:
        yield _which(absent[0], present[-NUM_WRONG:], rng, seen=False)


def _nearest_first(facts: ScanFacts, keys: Sequence[str]) -> list[str]:
    """Return the structures that the region should show first: their absence is the hardest to see."""
    return sorted(keys, key=lambda key: not anatomy.is_covered(key, facts.region))


def _which(key: str, others: Sequence[str], rng: np.random.Generator, *, seen: bool) -> Draft:
    wrong = tuple(anatomy.name(other) for other in others)
    name = anatomy.name(key)
    asked = wording.ORGAN if seen else wording.MISSING_ORGAN
    question = asked.draw(rng, options=join(shuffled(rng, [name, *wrong]), "or"))
    long = f"{anatomy.the(key)} {be(name)} {'visible' if seen else 'not visible'}"
    return Draft("organ", question, name, sentence(long), wrong, f"{question.partition(':')[0]}?")


def _region(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    name = anatomy.REGION_NAMES[facts.region]
    wrong = tuple(other for other in anatomy.REGION_NAMES.values() if other != name)
    yield Draft("region", wording.REGION.draw(rng), name, f"This scan shows the {name}.", wrong)


def _phase(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    if facts.phase is None:
        return
    wrong = tuple(phase for phase in get_args(ContrastPhase) if phase != facts.phase)
    plain = facts.phase == "non-contrast"
    long = "This is a non-contrast scan." if plain else f"This scan is in the {facts.phase} phase."
    yield Draft("phase", wording.PHASE.draw(rng), facts.phase, long, wrong)
    answer = "No, this scan is without contrast." if plain else "Yes, this scan is with contrast."
    yield Draft("contrast", wording.CONTRAST.draw(rng), yes_no(not plain), answer)


def _plane_and_modality(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    """Yield a question for either the plane or the modality, whose answers are always the same."""
    if rng.random() < 0.5:
        wrong: tuple[str, ...] = ("coronal", "sagittal", "oblique")
        yield Draft("plane", wording.PLANE.draw(rng), "axial", "The slices are axial.", wrong)
        return
    wrong = ("MRI", "PET", "ultrasound", "radiograph")
    yield Draft("modality", wording.MODALITY.draw(rng), "CT", "This is a CT scan.", wrong)


def _larger_side(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    for key, volume_ml in facts.volumes_ml.items():
        other = vocabulary.mirror(key)
        if key not in anatomy.COMPARED or not anatomy.is_covered(key, facts.region):
            continue
        if other not in facts.volumes_ml:
            continue
        left, right = volume_ml, facts.volumes_ml[other]
        if max(left, right) < _CLEARLY_LARGER * min(left, right):
            continue
        larger = anatomy.name(key if left > right else other)
        smaller = anatomy.name(other if left > right else key)
        question = wording.COMPARISON.draw(rng, the=anatomy.the(key), other=anatomy.the(other))
        yield Draft("comparison", question, larger, f"The {larger} is larger than the {smaller}.", (smaller,))
