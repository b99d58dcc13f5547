"""Questions about a scan with answers that its facts prove: what is there, where, which scan it is.

Questions about findings are drafted in ``lesion_questions``. A structure that the facts do not list is never
asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ContrastPhase, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.drafts import NUM_WRONG, Draft, QuestionAnswer, finish, yes_no
from medvlsam2.data.language.grammar import be, pick, sentence, shuffled
from medvlsam2.data.language.lesion_questions import lesion_drafts

_MAX_PRESENCE = 8
_MAX_NUMBERED = 2
_CLEARLY_LARGER = 1.2


def questions(facts: ScanFacts, rng: np.random.Generator) -> list[QuestionAnswer]:
    """Everything that can be asked about this scan, in random order, each in one style of answer."""
    drafts = [*_scan_drafts(facts, rng), *lesion_drafts(facts, rng)]
    return shuffled(rng, [finish(draft, rng) for draft in drafts])


def _scan_drafts(facts: ScanFacts, rng: np.random.Generator) -> list[Draft]:
    """Questions about structures and about the scan itself, in every style."""
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
    """As many yes as no, where there are enough of both."""
    present = _mixed(facts.volumes_ml, rng)
    absent = _mixed(facts.absent, rng)
    if absent:
        present = present[: len(absent) + 1]
    for key in (*present, *absent):
        seen = key in facts.volumes_ml
        spoken = anatomy.the(key)
        verb = be(anatomy.name(key))
        question = pick(
            rng,
            (
                f"{verb.capitalize()} {spoken} visible?",
                f"Can {spoken} be seen in this scan?",
                f"Does this scan show {spoken}?",
            ),
        )
        long = f"yes, {spoken} {verb} visible" if seen else f"no, {spoken} {verb} not visible"
        yield Draft("presence", question, yes_no(seen), sentence(long))


def _mixed(keys: Iterable[str], rng: np.random.Generator) -> list[str]:
    """A few structures, among them few of the many vertebrae and ribs."""
    mixed = shuffled(rng, list(keys))
    numbered = [key for key in mixed if anatomy.is_numbered(key)]
    plain = [key for key in mixed if not anatomy.is_numbered(key)]
    return plain[: _MAX_PRESENCE - _MAX_NUMBERED] + numbered[:_MAX_NUMBERED]


def _which_visible(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    present = shuffled(rng, list(facts.volumes_ml))
    absent = shuffled(rng, list(facts.absent))
    if present and len(absent) >= NUM_WRONG:
        wrong = tuple(anatomy.name(key) for key in absent[:NUM_WRONG])
        name = anatomy.name(present[0])
        long = sentence(f"{anatomy.the(present[0])} {be(name)} visible")
        yield Draft("organ", f"Which structure is visible: {_or(name, wrong, rng)}?", name, long, wrong)
    if absent and len(present) >= NUM_WRONG:
        wrong = tuple(anatomy.name(key) for key in present[-NUM_WRONG:])
        name = anatomy.name(absent[-1])
        long = sentence(f"{anatomy.the(absent[-1])} {be(name)} not visible")
        yield Draft("organ", f"Which structure is not visible: {_or(name, wrong, rng)}?", name, long, wrong)


def _or(name: str, wrong: Sequence[str], rng: np.random.Generator) -> str:
    mixed = shuffled(rng, [name, *wrong])
    return f"{', '.join(mixed[:-1])} or {mixed[-1]}"


def _region(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    name = anatomy.REGION_NAMES[facts.region]
    wrong = tuple(other for other in anatomy.REGION_NAMES.values() if other != name)
    question = pick(rng, ("Which part of the body is shown?", "Which body region does this scan show?"))
    yield Draft("region", question, name, f"This scan shows the {name}.", wrong)


def _phase(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    if facts.phase is None:
        return
    wrong = tuple(phase for phase in get_args(ContrastPhase) if phase != facts.phase)
    plain = facts.phase == "non-contrast"
    long = "This is a non-contrast scan." if plain else f"This scan is in the {facts.phase} phase."
    question = pick(rng, ("What is the contrast phase?", "In which contrast phase was this scan acquired?"))
    yield Draft("phase", question, facts.phase, long, wrong)
    given = pick(rng, ("Was intravenous contrast given?", "Is this a contrast-enhanced scan?"))
    answer = "No, this scan is without contrast." if plain else "Yes, this scan is with contrast."
    yield Draft("contrast", given, yes_no(not plain), answer)


def _plane_and_modality(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    """One of the two, now and then: their answer is always the same."""
    if rng.random() < 0.5:
        question = pick(rng, ("In which plane are the slices?", "What is the plane of the slices?"))
        yield Draft("plane", question, "axial", "The slices are axial.", ("coronal", "sagittal", "oblique"))
        return
    question = pick(rng, ("What is the imaging modality?", "Which modality is this?"))
    yield Draft("modality", question, "CT", "This is a CT scan.", ("MRI", "PET", "ultrasound"))


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
        question = f"Which is larger, {anatomy.the(key)} or {anatomy.the(other)}?"
        yield Draft("comparison", question, larger, f"The {larger} is larger than the {smaller}.", (smaller,))
