"""Referring phrases for a scan, each with the structures or findings that it refers to.

A phrase about something present refers to structures or to findings, never to both; its mask is the union of them. A
phrase about something absent refers to nothing. It is written only if the facts say that its object is absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import millimetres, pick, shuffled

_CLEARLY_LARGER = 1.2
_MAX_NEGATIVES = 24
_MAX_DENIALS = 2
_MAX_NUMBERED = 4
_CLEARLY_ABOVE_MM = 15.0
_DESCRIBED_SHARE = 0.5


@dataclass(frozen=True)
class ReferringPhrase:
    """A phrase that an annotator might type, and its meaning."""

    phrase: str
    """The phrase, without a leading article."""
    structure_keys: tuple[str, ...]
    """Vocabulary keys of the structures that the phrase means."""
    lesion_labels: tuple[int, ...]
    """Values in the lesion map of the findings that the phrase means."""
    present: bool
    """False if the object is known to be absent; then ``structure_keys`` and ``lesion_labels`` are empty."""


def phrases(facts: ScanFacts, rng: np.random.Generator) -> list[ReferringPhrase]:
    """Return the phrases for this scan in random order; there are at most as many absent as present objects."""
    positives = [
        *_structures(facts, rng),
        *_pairs(facts),
        *_by_lesion(facts),
        *_neighbours(facts, rng),
        *_lesions(facts),
    ]
    negatives = [*_absent_structures(facts, rng), *_absent_lesions(facts, rng)]
    taken = shuffled(rng, negatives)[: min(_MAX_NEGATIVES, max(1, len(positives)))]
    return shuffled(rng, _unique([*positives, *taken]))


def _unique(found: Sequence[ReferringPhrase]) -> list[ReferringPhrase]:
    """Return the phrases without those that have two different meanings."""
    meanings: dict[str, set[ReferringPhrase]] = {}
    for each in found:
        meanings.setdefault(each.phrase, set()).add(each)
    return [next(iter(same)) for same in meanings.values() if len(same) == 1]


def _organ(phrase: str, *keys: str) -> ReferringPhrase:
    return ReferringPhrase(phrase, keys, (), present=True)


def _finding(phrase: str, found: Sequence[Lesion]) -> ReferringPhrase:
    return ReferringPhrase(phrase, (), tuple(sorted(each.label_value for each in found)), present=True)


def _missing(phrase: str) -> ReferringPhrase:
    return ReferringPhrase(phrase, (), (), present=False)


def _structures(facts: ScanFacts, rng: np.random.Generator) -> Iterator[ReferringPhrase]:
    """Yield two phrases for each structure: its name, and a synonym or a description."""
    for key in facts.volumes_ml:
        yield _organ(anatomy.name(key), key)
        yield from (_organ(text, key) for text in _other_words(key, rng))


def _other_words(key: str, rng: np.random.Generator) -> list[str]:
    """Return one synonym or description, if there is one."""
    descriptions = anatomy.descriptions(key)
    others = descriptions if descriptions and rng.random() < _DESCRIBED_SHARE else _synonyms(key)
    return [pick(rng, others)] if others else []


def _synonyms(key: str) -> list[str]:
    known = vocabulary.STRUCTURES.get(key)
    return [] if known is None else [text.replace("_", " ") for text in known.synonyms if text != known.name]


def _pairs(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    for key in facts.volumes_ml:
        other = vocabulary.mirror(key)
        if anatomy.side(key) != "left" or other == key or other not in facts.volumes_ml:
            continue
        whole = anatomy.pair(key)
        if whole is not None and whole not in facts.volumes_ml:
            for text in (anatomy.name(whole), f"both {anatomy.name(whole)}", *_synonyms(whole)):
                yield _organ(text, key, other)
        single = _without_side(key)
        small, large = sorted((key, other), key=lambda each: facts.volumes_ml[each])
        clear = facts.volumes_ml[large] > _CLEARLY_LARGER * facts.volumes_ml[small]
        if clear and key in anatomy.COMPARED and anatomy.is_covered(key, facts.region):
            yield _organ(f"larger {single}", large)
            yield _organ(f"smaller {single}", small)


def _by_lesion(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    """Yield phrases for a structure by the finding that only this structure holds, and for its mirror structure."""
    if not facts.lesions_known:
        return
    holders: dict[str, list[Lesion]] = {}
    for lesion in facts.lesions:
        holders.setdefault(lesion.kind, []).append(lesion)
    for same in holders.values():
        key = same[0].structure
        if len({each.structure for each in same}) > 1 or key not in facts.volumes_ml or not lesions.is_placed(same[0]):
            continue
        name = lesions.plural_kind(lesions.bare(same[0])) if lesions.are_many(same) else lesions.bare(same[0])
        finding = f"the {name}" if lesions.is_countable(same[0]) else name
        single = _without_side(key)
        wholly = lesions.tells_place(same[0]) or same[0].kind in lesions.UNCOUNTABLE
        if not wholly:
            yield _organ(f"{_sort(key)} with {finding}", key)
            yield _organ(f"structure with {finding}", key)
        other = vocabulary.mirror(key)
        if other != key:
            yield _organ(f"{single} with {finding}", key)
            if other in facts.volumes_ml:
                yield _organ(f"{single} without {finding}", other)
                if lesions.is_countable(same[0]):
                    yield _organ(f"{single} opposite {finding}", other)


def _sort(key: str) -> str:
    """Return the sort of a structure in one word."""
    if key == "aorta":
        return "artery"
    return "bone" if vocabulary.STRUCTURES[key].window == "bone" else "organ"


def _without_side(key: str) -> str:
    return " ".join(word for word in anatomy.name(key).split() if word not in ("left", "right"))


def _neighbours(facts: ScanFacts, rng: np.random.Generator) -> Iterator[ReferringPhrase]:
    """Yield phrases for vertebrae and ribs by the next one in the series, and for structures by their neighbours."""
    numbered = shuffled(rng, [key for key in facts.volumes_ml if anatomy.is_numbered(key)])[:_MAX_NUMBERED]
    for key in numbered:
        for word, other in (("below", anatomy.next_above(key)), ("above", anatomy.next_below(key))):
            if other is not None:
                yield _organ(f"{lesions.host_noun(key)} {word} {anatomy.the(other)}", key)
    for key in facts.volumes_ml:
        for text in anatomy.relations(key):
            yield _organ(text, key)


def _lesions(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    names = Counter(lesions.bare(lesion) for lesion in facts.lesions)
    for group in lesions.groups(facts):
        first = group[0]
        for noun in lesions.nouns(first):
            if not lesions.are_many(group) and facts.lesions_known:
                yield _finding(noun, group)
            elif facts.lesions_known:
                yield _finding(lesions.plural_noun(first, noun), group)
                yield _finding(f"all {lesions.plural_noun(first, noun)}", group)
                yield from _extremes(noun, group)
                yield from _upper_and_lower(noun, group)
            yield from _by_size(noun, group)
        if facts.lesions_known and names[lesions.bare(first)] == 1:
            yield _finding(lesions.bare(first), group)
    if facts.lesions_known:
        yield from _whole_scan(facts)
        yield from _any_lesion(facts)


def _upper_and_lower(noun: str, group: Sequence[Lesion]) -> Iterator[ReferringPhrase]:
    """Yield phrases for the upper and the lower of two findings, if their heights differ clearly."""
    if len(group) != 2:
        return
    lower, upper = sorted(group, key=lambda each: each.center_ras[2])
    if upper.center_ras[2] - lower.center_ras[2] > _CLEARLY_ABOVE_MM:
        yield _finding(f"upper {noun}", [upper])
        yield _finding(f"lower {noun}", [lower])


def _extremes(noun: str, group: Sequence[Lesion]) -> Iterator[ReferringPhrase]:
    """Yield phrases for the largest and the smallest finding of a group, which must be sorted by size."""
    if group[0].kind in lesions.UNSIZED:
        return
    if group[0].diameter_mm > _CLEARLY_LARGER * group[1].diameter_mm:
        yield _finding(f"{'larger' if len(group) == 2 else 'largest'} {noun}", group[:1])
        yield _finding(f"largest {noun}", group[:1])
    if group[-2].diameter_mm > _CLEARLY_LARGER * group[-1].diameter_mm:
        yield _finding(f"smallest {noun}", group[-1:])


def _by_size(noun: str, group: Sequence[Lesion]) -> Iterator[ReferringPhrase]:
    sizes = Counter(millimetres(each.diameter_mm) for each in group)
    for each in group:
        dimension = lesions.size(each)
        if dimension is not None and sizes[dimension] == 1 and not lesions.is_pleural(each):
            yield _finding(f"{dimension} {noun}", [each])


def _whole_scan(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    """Yield phrases for all findings with the same noun in the whole scan, and for the largest and smallest of them."""
    for name in dict.fromkeys(lesions.bare(lesion) for lesion in facts.lesions):
        same = sorted(
            (each for each in facts.lesions if lesions.bare(each) == name), key=lambda each: -each.diameter_mm
        )
        if len(same) == 1:
            continue
        if lesions.is_countable(same[0]):
            yield _finding(lesions.plural_kind(name), same)
            yield _finding(f"all {lesions.plural_kind(name)}", same)
            yield from _extremes(name, same)
        else:
            yield _finding(name, same)


def _any_lesion(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    """Yield phrases that call findings simply "lesion"."""
    focal = [each for each in facts.lesions if each.kind in lesions.GENERIC_LESIONS]
    for key in dict.fromkeys(each.structure for each in focal):
        inside = sorted((each for each in focal if each.structure == key), key=lambda each: -each.diameter_mm)
        where = f"in {anatomy.the(key)}"
        if len(inside) == 1:
            yield _finding(f"lesion {where}", inside)
        else:
            yield _finding(f"lesions {where}", inside)
            yield from _extremes(f"lesion {where}", inside)


def _absent_structures(facts: ScanFacts, rng: np.random.Generator) -> Iterator[ReferringPhrase]:
    for key in facts.absent:
        yield _missing(anatomy.name(key))
        yield from (_missing(text) for text in _other_words(key, rng))


def _absent_lesions(facts: ScanFacts, rng: np.random.Generator) -> Iterator[ReferringPhrase]:
    for kind, key in lesions.denials(facts, rng, per_kind=_MAX_DENIALS):
        for noun in lesions.nouns_of(kind, key):
            yield _missing(noun)
