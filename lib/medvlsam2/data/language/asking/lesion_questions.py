"""Questions about findings: presence, kind, place, side, number and size.

A question about "the" finding is asked only if the finding is the only one of its kind. A "no" or a number is answered
only if every finding of the scan is known. Wrong choices are hard ones: the other side, a structure that can hold the
same kind, another kind that the structure can hold, a similar size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.asking import question_wording as wording
from medvlsam2.data.language.asking.drafts import NUM_WRONG, Draft, yes_no
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import count_word, is_plural, join, sentence, shuffled

_MAX_DENIALS = 4
_MAX_NAMED = 3
_WRONG_SIZES = (0.55, 0.7, 1.4, 1.8)


def lesion_drafts(facts: ScanFacts, rng: np.random.Generator) -> list[Draft]:
    """Return all questions about findings, with answers in every style."""
    drafts = [draft for group in lesions.groups(facts) for draft in _about_group(facts, group, rng)]
    drafts += _denials(facts, rng)
    drafts += _overall(facts, rng)
    drafts += _where(facts, rng)
    return drafts


def _about_group(facts: ScanFacts, group: Sequence[Lesion], rng: np.random.Generator) -> Iterator[Draft]:
    first = group[0]
    noun = lesions.usual_or_any(lesions.nouns(first), rng)
    verb = "are" if lesions.are_many(group) else "is"
    yield Draft(
        "lesion presence",
        wording.LESION_PRESENCE.draw(rng, a=lesions.named(first, noun)),
        yes_no(True),
        sentence(f"yes, there {verb} {lesions.counted(group, noun)}"),
    )
    if facts.lesions_known:
        yield from _size(group, noun, rng)
        yield from _abnormality(facts, group, rng)
        if _is_counted(first):
            yield _count(group, noun, rng)


def _is_counted(lesion: Lesion) -> bool:
    """Return whether a question for the number of such findings in the structure makes sense."""
    if lesion.kind in lesions.OF_KINDS or lesions.tells_place(lesion) or anatomy.is_numbered(lesion.structure):
        return False
    return lesions.is_countable(lesion)


def _size(group: Sequence[Lesion], noun: str, rng: np.random.Generator) -> Iterator[Draft]:
    first = group[0]
    dimension = lesions.size(first)
    if dimension is None:
        return
    which = noun if len(group) == 1 else f"{'larger' if len(group) == 2 else 'largest'} {noun}"
    scaled = [f"{round(first.diameter_mm * factor)} mm" for factor in _WRONG_SIZES]
    wrong = tuple(text for text in dict.fromkeys(scaled) if text not in (dimension, "0 mm"))
    question = wording.SIZE.draw(rng, noun=which)
    yield Draft("size", question, dimension, f"The {which} measures {dimension}.", wrong)


def _count(group: Sequence[Lesion], noun: str, rng: np.random.Generator) -> Draft:
    first, count = group[0], len(group)
    near = sorted((number for number in range(1, 8) if number != count), key=lambda number: abs(number - count))
    counted = lesions.counted(group, noun) if count > 1 else f"one {noun}"
    return Draft(
        "count",
        wording.COUNT.draw(rng, nouns=lesions.plural_kind(lesions.bare(first)), place=lesions.place(first)),
        count_word(count),
        sentence(f"there {'are' if count > 1 else 'is'} {counted}"),
        tuple(count_word(number) for number in near[:NUM_WRONG]),
    )


def _abnormality(facts: ScanFacts, group: Sequence[Lesion], rng: np.random.Generator) -> Iterator[Draft]:
    """Yield a question for the abnormality of a structure that holds findings of only one kind."""
    first = group[0]
    inside = {lesion.kind for lesion in facts.lesions if lesion.structure == first.structure}
    if len(inside) > 1 or not lesions.is_placed(first) or first.structure not in facts.volumes_ml:
        return
    question = wording.ABNORMALITY.draw(rng, the=anatomy.the(first.structure))
    yield Draft("abnormality", question, lesions.bare(first), _shown(group), _other_kinds(first, rng))


def _shown(group: Sequence[Lesion]) -> str:
    """Return a sentence that states the findings of a structure."""
    first = group[0]
    if first.kind in lesions.OF_KINDS or lesions.tells_place(first):
        noun = lesions.nouns(first)[0]
        return sentence(f"there {'are' if lesions.are_many(group) else 'is'} {lesions.counted(group, noun)}")
    verb = "contain" if is_plural(anatomy.name(first.structure)) else "contains"
    return sentence(f"{anatomy.the(first.structure)} {verb} {lesions.counted(group, lesions.bare(first))}")


def _other_kinds(lesion: Lesion, rng: np.random.Generator) -> tuple[str, ...]:
    """Return wrong kinds as nouns without place: first kinds that the structure can hold, then other kinds."""
    family = lesions.host_family(lesion.structure)
    likely = [kind for kind, hosts in lesions.HOSTS.items() if family in hosts and kind != lesion.kind]
    others = [kind for kind in lesions.HOSTS if kind != lesion.kind and kind not in likely]
    others = [kind for kind in others if kind not in lesions.WHOLE]
    drawn = shuffled(rng, likely) + shuffled(rng, others)
    return tuple(lesions.bare_of(kind, lesion.structure) for kind in drawn[:NUM_WRONG])


def _denials(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    most = min(_MAX_DENIALS, len(facts.lesions) + 1)
    for kind, key in shuffled(rng, lesions.denials(facts, rng, per_kind=1))[:most]:
        noun = lesions.usual_or_any(lesions.nouns_of(kind, key), rng)
        asked = lesions.named_kind(kind, noun)
        question = wording.LESION_PRESENCE.draw(rng, a=asked)
        yield Draft("lesion presence", question, yes_no(False), sentence(f"no, there is no {noun}"))


def _overall(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    """Yield a question for any abnormality of the scan."""
    question = wording.ANY_ABNORMALITY.draw(rng)
    if facts.lesions:
        stated = sorted(lesions.groups(facts), key=lambda group: -group[0].diameter_mm)[:_MAX_NAMED]
        named = [lesions.counted(group, lesions.nouns(group[0])[0]) for group in stated]
        verb = "are" if lesions.are_many(stated[0]) else "is"
        yield Draft("any abnormality", question, "Yes", sentence(f"yes, there {verb} {join(named)}"))
    elif facts.lesions_known:
        yield Draft("any abnormality", question, "No", "No, no abnormality is seen.")


def _where(facts: ScanFacts, rng: np.random.Generator) -> Iterator[Draft]:
    """Yield questions for the structure and the side of findings that share a noun, if they lie in one structure."""
    if not facts.lesions_known:
        return
    by_name: dict[str, list[Lesion]] = {}
    for lesion in facts.lesions:
        by_name.setdefault(lesions.bare(lesion), []).append(lesion)
    for same in by_name.values():
        in_one_structure = len({lesion.structure for lesion in same}) == 1
        if in_one_structure and lesions.may_lie_elsewhere(same[0].kind) and not lesions.tells_place(same[0]):
            yield _place(facts, same, rng)
        yield from _side(same, rng)


def _place(facts: ScanFacts, same: Sequence[Lesion], rng: np.random.Generator) -> Draft:
    key, kind = same[0].structure, same[0].kind
    mirrored = [each for each in facts.volumes_ml if each != key and each == vocabulary.mirror(key)]
    others = lesions.plausible_hosts(kind, [each for each in facts.volumes_ml if each != key])
    fillers = [each for each in facts.volumes_ml if each != key and not anatomy.is_numbered(each)]
    order = dict.fromkeys([*mirrored, *shuffled(rng, others), *shuffled(rng, fillers)])
    names = [anatomy.name(each) for each in order if not lesions.may_overlap(each, key) or each in mirrored]
    spoken, verb = _spoken(same)
    return Draft(
        "place",
        wording.PLACE.draw(rng, is_=verb, nouns=spoken),
        anatomy.name(key),
        f"The {spoken} {verb} in {anatomy.the(key)}.",
        tuple(names[:NUM_WRONG]),
    )


def _side(same: Sequence[Lesion], rng: np.random.Generator) -> Iterator[Draft]:
    """Yield a question for the side that all findings with the same noun share."""
    sides = Counter(lesions.stated_side(lesion) for lesion in same)
    side = next(iter(sides))
    if len(sides) > 1 or side is None:
        return
    spoken, verb = _spoken(same)
    other = "left" if side == "right" else "right"
    question = wording.SIDE.draw(rng, is_=verb, nouns=spoken)
    yield Draft("side", question, side, f"The {spoken} {verb} on the {side} side.", (other, "both"))


def _spoken(same: Sequence[Lesion]) -> tuple[str, str]:
    """Return the noun without place in singular or plural, and the verb that agrees with it."""
    many = lesions.are_many(same)
    name = lesions.bare(same[0])
    return (lesions.plural_kind(name), "are") if many else (name, "is")
