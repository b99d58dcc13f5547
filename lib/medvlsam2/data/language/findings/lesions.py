"""Phrases for findings: nouns, prepositions, hosts and sizes.

A host is a structure that can hold a finding. ``lesion_words`` lists the nouns; a kind that is not listed there is a
countable noun "in" its structure. In phrases about several findings, a group is the findings of one kind in one
structure on one side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings.lesion_words import (
    GENERIC_LESIONS,
    HOSTS,
    KINDS,
    LESION_WORDS,
    OF_KINDS,
    UNCOUNTABLE,
    UNSIZED,
    WHOLE,
    LesionWords,
)
from medvlsam2.data.language.grammar import count_word, is_plural, millimetres, pick, plural, shuffled, with_article
from medvlsam2.data.language.wording import CANONICAL_SHARE
from medvlsam2.data.structures.table import Side

__all__ = ["GENERIC_LESIONS", "HOSTS", "KINDS", "OF_KINDS", "UNCOUNTABLE", "UNSIZED", "WHOLE"]

_SOLID = frozenset({"nodule", "mass", "metastasis", "tumor", "sarcoma"})
_WITH_ADJECTIVE = frozenset({"cyst", "stone", "nodule", "mass", "metastasis", "aneurysm", "abscess", "hemangioma"})
_SIDE_TOLD = frozenset(
    {"body", "skeletal_muscle", "fat", "subcutaneous_fat", "brain", "thyroid_gland", "prostate", "sacrum"}
)
"""Structures without a side of their own, for which texts give the side of a finding."""
_UNPLACED = frozenset({"body", "skeletal_muscle"})
"""Structures that a radiologist does not name as the place of a finding."""
_PREPOSITIONS = (" in ", " of ", " on ")


def host_family(key: str) -> str:
    """Return the name of a structure in ``HOSTS``: its key without side and number."""
    bare = anatomy.base(key)
    return bare.partition("_")[0] if bare.startswith(("rib_", "vertebrae_")) else bare


def host_noun(key: str) -> str:
    """Return the noun for a member of a numbered series: "vertebra", "rib"."""
    return "vertebra" if host_family(key) == "vertebrae" else host_family(key)


def plausible_hosts(kind: str, keys: Sequence[str]) -> list[str]:
    """Return the structures among ``keys`` that can hold this kind of finding."""
    families = HOSTS.get(kind, ())
    return [key for key in keys if host_family(key) in families]


def groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    """Return the findings in groups of one kind, structure and side; the largest finding comes first in each group."""
    grouped: dict[tuple[str, str, Side | None], list[Lesion]] = defaultdict(list)
    for lesion in facts.lesions:
        grouped[lesion.kind, lesion.structure, stated_side(lesion)].append(lesion)
    return [tuple(sorted(group, key=lambda each: -each.diameter_mm)) for group in grouped.values()]


def denials(facts: ScanFacts, rng: np.random.Generator, per_kind: int) -> list[tuple[str, str]]:
    """Return pairs of a kind and a structure that is known to be free of this kind, at most ``per_kind`` of each kind.

    The structure opposite to a finding comes first, because it is the hardest case. A kind is not denied in a structure
    that holds a similar kind: a metastasis of the lung is also a nodule.
    """
    if not facts.lesions_known:
        return []
    denied: list[tuple[str, str]] = []
    listed = [*facts.volumes_ml, *(["body"] if anatomy.has_abdomen(facts.region) else [])]
    for kind in HOSTS:
        alike = [lesion.structure for lesion in facts.lesions if _alike(kind, lesion.kind)]
        free = [
            key
            for key in plausible_hosts(kind, list(dict.fromkeys(listed)))
            if not any(may_overlap(key, structure) for structure in alike)
        ]
        opposite = {vocabulary.mirror(structure) for structure in alike}
        taken = sorted(shuffled(rng, free), key=lambda key: key not in opposite)[:per_kind]
        denied += [(kind, key) for key in taken]
    return denied


def _alike(kind: str, other: str) -> bool:
    return kind == other or other not in HOSTS or {kind, other} <= _SOLID


def may_overlap(key: str, other: str) -> bool:
    """Return whether one structure may be a part of the other, e.g. a lobe of a lung."""
    if anatomy.leaves(key) & anatomy.leaves(other):
        return True
    if None not in (anatomy.side(key), anatomy.side(other)) and anatomy.side(key) != anatomy.side(other):
        return False
    numbered = host_family(key) != anatomy.base(key) or host_family(other) != anatomy.base(other)
    return not numbered and key.partition("_")[0] == other.partition("_")[0]


def plural_kind(kind: str) -> str:
    """Return the plural of a kind or of its bare noun; an uncountable noun is returned unchanged."""
    return kind if kind in UNCOUNTABLE or is_plural(kind) else plural(kind)


def bare(lesion: Lesion) -> str:
    """Return the noun of a finding without its place: "pleural effusion", "cardiomegaly", "cyst"."""
    words = _words(lesion)
    return lesion.kind if words is None or words.bare is None else words.bare


def bare_of(kind: str, key: str) -> str:
    """Return the noun without place of a kind in a structure, also if no scan holds such a finding."""
    words = LESION_WORDS.get((kind, host_family(key))) or LESION_WORDS.get((kind, HOSTS.get(kind, ("",))[0]))
    return kind if words is None or words.bare is None else words.bare


def tells_place(lesion: Lesion) -> bool:
    """Return whether the noun without place already implies the place, e.g. "cardiomegaly"."""
    words = _words(lesion)
    return words is not None and words.tells_place


def may_lie_elsewhere(kind: str) -> bool:
    """Return whether a question about the place of such a finding makes sense; an aneurysm is always in the aorta."""
    return len(plausible_hosts(kind, anatomy.single_structures())) != 1


def is_placed(lesion: Lesion) -> bool:
    """Return whether a radiologist would name the structure as the finding's place."""
    return anatomy.base(lesion.structure) not in _UNPLACED


def is_countable(lesion: Lesion) -> bool:
    """Return whether several findings of this kind are counted."""
    return lesion.kind not in UNCOUNTABLE


def place(lesion: Lesion) -> str:
    """Return the place of a finding with its preposition: "in the left kidney", "of the aorta"."""
    preposition = "of" if lesion.kind in OF_KINDS else "in"
    if is_pleural(lesion):
        return f"in the {stated_side(lesion)} pleural space"
    spoken = f"{preposition} {anatomy.the(lesion.structure)}"
    if lesion.side is not None and anatomy.base(lesion.structure) in _SIDE_TOLD:
        spoken += f" on the {lesion.side} side"
    return spoken


def is_pleural(lesion: Lesion) -> bool:
    """Return whether a finding is fluid or air beside a lung; its place is then the pleural space."""
    lungs = anatomy.base(lesion.structure) in ("lung", "pleura")
    return lesion.kind in ("effusion", "pneumothorax") and lungs and _own_side(lesion) is not None


def stated_side(lesion: Lesion) -> Side | None:
    """Return the side that a text about this finding gives; None if it gives none."""
    own = anatomy.side(lesion.structure)
    if own is not None:
        return own
    if is_pleural(lesion) or anatomy.base(lesion.structure) in _SIDE_TOLD:
        return lesion.side
    return None


def imagined(kind: str, key: str, side: Side | None = None) -> Lesion:
    """Return an imagined finding without size and position, for its nouns."""
    return Lesion(
        kind=kind,
        structure=key,
        side=anatomy.side(key) or side,
        center_ijk=(0, 0, 0),
        center_ras=(0.0, 0.0, 0.0),
        diameter_mm=0.0,
        mean_hu=0.0,
        label_value=0,
    )


def nouns_of(kind: str, key: str) -> list[str]:
    """Return the nouns for a kind in a structure, also if no scan holds such a finding; the canonical noun first."""
    return nouns(imagined(kind, key))


def nouns(lesion: Lesion) -> list[str]:
    """Return the nouns of a finding with its place, without an article; the canonical noun first."""
    words = _words(lesion)
    if words is None:
        adjective = anatomy.adjective(lesion.structure)
        short = [f"{adjective} {lesion.kind}"] if adjective and lesion.kind in _WITH_ADJECTIVE else []
        return [*short, f"{lesion.kind} {place(lesion)}"]
    side = stated_side(lesion)
    slots = {
        "side": f"{side} " if side else "",
        "sided": f"{side}-sided " if side else "",
        "on_side": f" on the {side} side" if side else "",
        "the": anatomy.the(lesion.structure),
        "level": anatomy.base(lesion.structure).rpartition("_")[2],
    }
    return list(dict.fromkeys(noun.format_map(slots) for noun in words.nouns))


def usual_or_any(spoken: Sequence[str], rng: np.random.Generator) -> str:
    """Return the first noun with probability 0.5, else any of the nouns."""
    return spoken[0] if rng.random() < CANONICAL_SHARE else pick(rng, spoken)


def plural_noun(lesion: Lesion, noun: str) -> str:
    """Return the plural of a noun that may include a place: "cysts in the left kidney"."""
    if not is_countable(lesion):
        return noun
    starts = [start for word in _PREPOSITIONS if (start := noun.find(word)) >= 0]
    cut = min(starts, default=len(noun))
    return plural_kind(noun[:cut]) + noun[cut:]


def size(lesion: Lesion) -> str | None:
    """Return the size of a finding in words; None for kinds whose size a report does not give."""
    return None if lesion.kind in UNSIZED else millimetres(lesion.diameter_mm)


def named(lesion: Lesion, noun: str) -> str:
    """Return the noun with its article, if it has one: "a left renal cyst", "ascites"."""
    return named_kind(lesion.kind, noun)


def named_kind(kind: str, noun: str) -> str:
    """Return the noun of a kind with its article, if it has one."""
    return noun if kind in UNCOUNTABLE else with_article(noun)


def measured(lesion: Lesion, noun: str) -> str:
    """Return the noun with size and article: "a 12 mm left renal cyst", "hydronephrosis of the left kidney"."""
    dimension = size(lesion)
    if dimension is not None and is_pleural(lesion):
        return f"{named(lesion, noun)} measuring up to {dimension}"
    return named(lesion, noun) if dimension is None else with_article(f"{dimension} {noun}")


def counted(group: Sequence[Lesion], noun: str) -> str:
    """Return a group of findings with its number: "a left renal cyst", "two left renal cysts"."""
    if len(group) == 1 or not is_countable(group[0]):
        return named(group[0], noun)
    return f"{count_word(len(group))} {plural_noun(group[0], noun)}"


def are_many(group: Sequence[Lesion]) -> bool:
    """Return whether a verb after ``counted`` must be plural."""
    return len(group) > 1 and is_countable(group[0])


def _words(lesion: Lesion) -> LesionWords | None:
    return LESION_WORDS.get((lesion.kind, host_family(lesion.structure)))


def _own_side(lesion: Lesion) -> Side | None:
    return anatomy.side(lesion.structure) or lesion.side
