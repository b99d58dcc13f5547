"""Phrases that refer to something in a scan, with what they refer to.

A phrase that is present names structures or findings, never both: its mask is the union of what it names. A
phrase that is absent names neither, and is only written where the facts say that the thing is not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy, lesions
from medvlsam2.data.language.grammar import millimetres, pick, shuffled

_CLEARLY_LARGER = 1.2
_MAX_NEGATIVES = 24
_MAX_DENIALS = 2
_DESCRIBED_SHARE = 0.5


@dataclass(frozen=True)
class ReferringPhrase:
    """What an annotator might type, and what it means."""

    phrase: str
    """The phrase, without a leading article."""
    structure_keys: tuple[str, ...]
    """Vocabulary keys of the structures it means."""
    lesion_labels: tuple[int, ...]
    """Values in the lesion map of the findings it means."""
    present: bool
    """False where the scan is known not to hold it; then both of the above are empty."""


def phrases(facts: ScanFacts, rng: np.random.Generator) -> list[ReferringPhrase]:
    """Everything that can be asked for in this scan, in random order, with as many absent things at most."""
    positives = [*_structures(facts, rng), *_pairs(facts), *_by_lesion(facts), *_lesions(facts)]
    negatives = [*_absent_structures(facts, rng), *_absent_lesions(facts, rng)]
    taken = shuffled(rng, negatives)[: min(_MAX_NEGATIVES, max(1, len(positives)))]
    return shuffled(rng, _unique([*positives, *taken]))


def _unique(found: Sequence[ReferringPhrase]) -> list[ReferringPhrase]:
    """Without phrases that would mean two different things."""
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
    """Each by its name and in one other way."""
    for key in facts.volumes_ml:
        yield _organ(anatomy.name(key), key)
        yield from (_organ(text, key) for text in _other_words(key, rng))


def _other_words(key: str, rng: np.random.Generator) -> list[str]:
    """One synonym or description, if there is any."""
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
        single = " ".join(word for word in anatomy.name(key).split() if word != "left")
        small, large = sorted((key, other), key=lambda each: facts.volumes_ml[each])
        clear = facts.volumes_ml[large] > _CLEARLY_LARGER * facts.volumes_ml[small]
        if clear and key in anatomy.COMPARED and anatomy.is_covered(key, facts.region):
            yield _organ(f"larger {single}", large)
            yield _organ(f"smaller {single}", small)


def _by_lesion(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    """Structures named by the finding that they alone hold."""
    if not facts.lesions_known:
        return
    holders: dict[str, set[str]] = {}
    for lesion in facts.lesions:
        holders.setdefault(lesion.kind, set()).add(lesion.structure)
    for kind, keys in holders.items():
        key = next(iter(keys))
        if len(keys) > 1 or key not in facts.volumes_ml or kind in lesions.UNCOUNTABLE or kind == "effusion":
            continue
        several = sum(lesion.kind == kind for lesion in facts.lesions) > 1
        yield _organ(f"structure with the {lesions.plural_kind(kind) if several else kind}", key)


def _lesions(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    kinds = Counter(lesion.kind for lesion in facts.lesions)
    for group in lesions.groups(facts):
        first = group[0]
        alone = len(group) == 1
        for noun in lesions.nouns(first):
            if alone and facts.lesions_known:
                yield _finding(noun, group)
            elif facts.lesions_known:
                yield _finding(lesions.plural_noun(first, noun), group)
                yield from _extremes(noun, group)
            yield from _by_size(noun, group)
        if facts.lesions_known and kinds[first.kind] == 1:
            yield _finding(first.kind, group)
    if facts.lesions_known:
        yield from _whole_scan(facts)
        yield from _any_lesion(facts)


def _extremes(noun: str, group: Sequence[Lesion]) -> Iterator[ReferringPhrase]:
    """The largest and smallest; the group is sorted by size."""
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
        if dimension is not None and sizes[dimension] == 1:
            yield _finding(f"{dimension} {noun}", [each])


def _whole_scan(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    """All findings of one kind, wherever they are, and the largest of them."""
    for kind in dict.fromkeys(lesion.kind for lesion in facts.lesions):
        same = sorted((each for each in facts.lesions if each.kind == kind), key=lambda each: -each.diameter_mm)
        if len(same) > 1 and kind not in lesions.UNCOUNTABLE:
            yield _finding(lesions.plural_kind(kind), same)
            yield _finding(f"all {lesions.plural_kind(kind)}", same)
            yield from _extremes(kind, same)


def _any_lesion(facts: ScanFacts) -> Iterator[ReferringPhrase]:
    """Findings called simply lesions."""
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
