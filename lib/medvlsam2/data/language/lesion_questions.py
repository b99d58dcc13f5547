"""Questions about findings: whether, what, where, which side, how many, how large.

"The" finding is asked about only where it is the only one of its kind, and a "no" or a count is given only
where every finding of the scan is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy, lesions
from medvlsam2.data.language.drafts import NUM_WRONG, Draft, yes_no
from medvlsam2.data.language.grammar import (
    be,
    count_word,
    is_plural,
    join,
    pick,
    sentence,
    shuffled,
    with_article,
)

_MAX_DENIALS = 4
_MAX_NAMED = 3
_WRONG_SIZES = (0.4, 0.6, 1.5, 2.0, 2.6)


def lesion_drafts(facts: ScanFacts, rng: np.random.Generator) -> list[Draft]:
    """All questions about findings, in every style."""
    drafts = [draft for group in lesions.groups(facts) for draft in _about_group(facts, group, rng)]
    drafts += _denials(facts, rng)
    drafts += _overall(facts)
    drafts += _where(facts, rng)
    return drafts


def _about_group(facts: ScanFacts, group: Sequence[Lesion], rng: np.random.Generator) -> Iterator[Draft]:
    first = group[0]
    noun = pick(rng, lesions.nouns(first))
    known = _counted(noun, group)
    many = len(group) > 1
    yield Draft(
        "lesion presence",
        _is_there(noun, first.kind, rng),
        yes_no(True),
        sentence(f"yes, there {'are' if many else 'is'} {known}"),
    )
    if facts.lesions_known:
        yield from _size(group, noun)
        yield from _abnormality(facts, group, rng)
        if first.kind not in lesions.UNCOUNTABLE | lesions.OF_KINDS and not lesions.is_pleural(first):
            yield _count(group, noun)


def _counted(noun: str, group: Sequence[Lesion]) -> str:
    if len(group) > 1:
        return lesions.counted(group, noun)
    return noun if group[0].kind in lesions.UNCOUNTABLE else with_article(noun)


def _is_there(noun: str, kind: str, rng: np.random.Generator) -> str:
    named = noun if kind in lesions.UNCOUNTABLE else with_article(noun)
    return pick(rng, (f"Is there {named}?", f"Does this scan show {named}?", f"Can you see {named}?"))


def _size(group: Sequence[Lesion], noun: str) -> Iterator[Draft]:
    first = group[0]
    dimension = lesions.size(first)
    if dimension is None:
        return
    which = noun if len(group) == 1 else f"{'larger' if len(group) == 2 else 'largest'} {noun}"
    scaled = [f"{round(first.diameter_mm * factor)} mm" for factor in _WRONG_SIZES]
    wrong = tuple(text for text in dict.fromkeys(scaled) if text not in (dimension, "0 mm"))
    yield Draft("size", f"How large is the {which}?", dimension, f"The {which} measures {dimension}.", wrong)


def _count(group: Sequence[Lesion], noun: str) -> Draft:
    count = len(group)
    near = [count_word(number) for number in range(1, 6) if number != count]
    verb = "are" if count > 1 else "is"
    counted = lesions.counted(group, noun) if count > 1 else f"one {noun}"
    return Draft(
        "count",
        f"How many {lesions.plural_kind(group[0].kind)} are there {lesions.place(group[0])}?",
        count_word(count),
        sentence(f"there {verb} {counted}"),
        tuple(near[:NUM_WRONG]),
    )


def _abnormality(facts: ScanFacts, group: Sequence[Lesion], rng: np.random.Generator) -> Iterator[Draft]:
    """What is wrong with a structure that holds findings of one kind alone."""
    first = group[0]
    inside = {lesion.kind for lesion in facts.lesions if lesion.structure == first.structure}
    if len(inside) > 1 or lesions.is_pleural(first):
        return
    family = lesions.host_family(first.structure)
    likely = [kind for kind, hosts in lesions.HOSTS.items() if family in hosts and kind != first.kind]
    others = [kind for kind in lesions.HOSTS if kind != first.kind and kind not in likely]
    wrong = tuple((shuffled(rng, likely) + shuffled(rng, others))[:NUM_WRONG])
    the = anatomy.the(first.structure)
    holds = "contain" if is_plural(anatomy.name(first.structure)) else "contains"
    question = pick(rng, (f"What abnormality is seen in {the}?", f"What is abnormal in {the}?"))
    if first.kind in lesions.OF_KINDS:
        long = f"there {'are' if len(group) > 1 else 'is'} {_counted(lesions.noun_with_place(first), group)}"
    else:
        long = f"{the} {holds} {_counted(first.kind, group)}"
    yield Draft("abnormality", question, first.kind, sentence(long), wrong)


def _denials(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    most = min(_MAX_DENIALS, len(facts.lesions) + 1)
    for kind, key in shuffled(rng, lesions.denials(facts, rng, per_kind=1))[:most]:
        noun = pick(rng, lesions.nouns_of(kind, key))
        yield Draft("lesion presence", _is_there(noun, kind, rng), yes_no(False), sentence(f"no, there is no {noun}"))


def _overall(facts: ScanFacts) -> Iterator[Draft]:
    """Whether anything is abnormal, and what."""
    if facts.lesions:
        told = sorted(lesions.groups(facts), key=lambda group: -group[0].diameter_mm)[:_MAX_NAMED]
        named = [_counted(lesions.nouns(group[0])[0], group) for group in told]
        verb = "are" if len(told[0]) > 1 else "is"
        yield Draft("abnormality", "Is any abnormality seen?", "Yes", sentence(f"yes, there {verb} {join(named)}"))
    elif facts.lesions_known:
        yield Draft("abnormality", "Is any abnormality seen?", "No", "No, no focal abnormality is seen.")


def _where(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    """In which structure and on which side a kind of finding lies, where it lies in one alone."""
    if not facts.lesions_known:
        return
    for kind in dict.fromkeys(lesion.kind for lesion in facts.lesions):
        same = [lesion for lesion in facts.lesions if lesion.kind == kind]
        structures = {lesion.structure for lesion in same}
        if len(structures) > 1 or lesions.is_pleural(same[0]):
            yield from _side(same)
            continue
        key = same[0].structure
        spoken = lesions.plural_kind(kind) if len(same) > 1 else kind
        verb = be(spoken) if kind not in lesions.UNCOUNTABLE else "is"
        name = anatomy.name(key)
        others = lesions.plausible_hosts(kind, [each for each in facts.volumes_ml if each != key])
        fillers = [each for each in facts.volumes_ml if each != key and each not in others]
        wrong = [anatomy.name(each) for each in (shuffled(rng, others) + shuffled(rng, fillers))[:NUM_WRONG]]
        question = pick(rng, (f"Where {verb} the {spoken}?", f"Which structure holds the {spoken}?"))
        yield Draft("place", question, name, f"The {spoken} {verb} {lesions.place(same[0])}.", tuple(wrong))
        yield from _side(same)


def _side(same: Sequence[Lesion]) -> Iterator[Draft]:
    """The side that all findings of one kind share."""
    sides = Counter(lesions.stated_side(lesion) for lesion in same)
    side = next(iter(sides))
    if len(sides) > 1 or side is None:
        return
    kind = "pleural effusion" if lesions.is_pleural(same[0]) else same[0].kind
    spoken = lesions.plural_kind(kind) if len(same) > 1 else kind
    verb = "are" if len(same) > 1 else "is"
    other = "left" if side == "right" else "right"
    yield Draft(
        "side",
        f"On which side {verb} the {spoken}?",
        side,
        f"The {spoken} {verb} on the {side} side.",
        (other, "both"),
    )
