"""How findings are spoken of: their nouns, prepositions, hosts, and whether a size is given.

The nouns stand in ``lesion_words``; a kind that is not listed there is an ordinary countable noun "in" its structure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts, Side
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

__all__ = ["GENERIC_LESIONS", "HOSTS", "KINDS", "OF_KINDS", "UNCOUNTABLE", "UNSIZED", "WHOLE"]

_SOLID = frozenset({"nodule", "mass", "metastasis", "tumor", "sarcoma"})
_WITH_ADJECTIVE = frozenset({"cyst", "stone", "nodule", "mass", "metastasis", "aneurysm", "abscess", "hemangioma"})
_SIDE_TOLD = frozenset(
    {"body", "skeletal_muscle", "fat", "subcutaneous_fat", "brain", "thyroid_gland", "prostate", "sacrum"}
)
"""Structures of both sides in which a finding's side is told."""
_UNPLACED = frozenset({"body", "skeletal_muscle"})
"""Structures that nobody names as the place of a finding."""
_PREPOSITIONS = (" in ", " of ", " on ")


def host_family(key: str) -> str:
    """The host's name in ``HOSTS``: its key without side and number."""
    bare = anatomy.base(key)
    return bare.partition("_")[0] if bare.startswith(("rib_", "vertebrae_")) else bare


def host_noun(key: str) -> str:
    """What a numbered structure is one of: "vertebra", "rib"."""
    return "vertebra" if host_family(key) == "vertebrae" else host_family(key)


def plausible_hosts(kind: str, keys: Sequence[str]) -> list[str]:
    """Those structures in which this kind of finding may be asked about."""
    families = HOSTS.get(kind, ())
    return [key for key in keys if host_family(key) in families]


def groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    """Findings of one kind in one structure together, the largest first in each group; sides apart."""
    grouped: dict[tuple[str, str, Side | None], list[Lesion]] = defaultdict(list)
    for lesion in facts.lesions:
        grouped[lesion.kind, lesion.structure, stated_side(lesion)].append(lesion)
    return [tuple(sorted(group, key=lambda each: -each.diameter_mm)) for group in grouped.values()]


def denials(facts: ScanFacts, rng: np.random.Generator, per_kind: int) -> list[tuple[str, str]]:
    """Kinds and structures of which it is known that the one is not in the other, some of each kind.

    The side opposite to a finding comes first, since it is the hardest to tell. A kind is not denied
    where a look-alike lies: a metastasis of the lung is also a nodule.
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
            if not any(overlap(key, structure) for structure in alike)
        ]
        opposite = {vocabulary.mirror(structure) for structure in alike}
        taken = sorted(shuffled(rng, free), key=lambda key: key not in opposite)[:per_kind]
        denied += [(kind, key) for key in taken]
    return denied


def _alike(kind: str, other: str) -> bool:
    return kind == other or other not in HOSTS or {kind, other} <= _SOLID


def overlap(key: str, other: str) -> bool:
    """Whether one structure may be a part of the other: a lobe of a lung."""
    if anatomy.leaves(key) & anatomy.leaves(other):
        return True
    if None not in (anatomy.side(key), anatomy.side(other)) and anatomy.side(key) != anatomy.side(other):
        return False
    numbered = host_family(key) != anatomy.base(key) or host_family(other) != anatomy.base(other)
    return not numbered and key.partition("_")[0] == other.partition("_")[0]


def plural_kind(kind: str) -> str:
    """Plural of a kind or of its bare name; what cannot be counted stays as it is."""
    return kind if kind in UNCOUNTABLE or is_plural(kind) else plural(kind)


def bare(lesion: Lesion) -> str:
    """Its name without its place: "pleural effusion", "cardiomegaly", "cyst"."""
    words = _words(lesion)
    return lesion.kind if words is None or words.bare is None else words.bare


def bare_of(kind: str, key: str) -> str:
    """The bare name of a kind in a structure, whether or not a scan holds it."""
    words = LESION_WORDS.get((kind, host_family(key))) or LESION_WORDS.get((kind, HOSTS.get(kind, ("",))[0]))
    return kind if words is None or words.bare is None else words.bare


def tells_place(lesion: Lesion) -> bool:
    """Whether its bare name already says where it is."""
    words = _words(lesion)
    return words is not None and words.tells_place


def may_lie_elsewhere(kind: str) -> bool:
    """Whether the place of such a finding is worth asking for: an aneurysm is always one of the aorta."""
    return len(plausible_hosts(kind, anatomy.single_structures())) != 1


def is_placed(lesion: Lesion) -> bool:
    """Whether its structure is one that a reader would name as its place."""
    return anatomy.base(lesion.structure) not in _UNPLACED


def is_countable(lesion: Lesion) -> bool:
    """Whether several of it are counted."""
    return lesion.kind not in UNCOUNTABLE


def place(lesion: Lesion) -> str:
    """Where it is: "in the left kidney", "of the aorta"."""
    preposition = "of" if lesion.kind in OF_KINDS else "in"
    if is_pleural(lesion):
        return f"in the {stated_side(lesion)} pleural space"
    spoken = f"{preposition} {anatomy.the(lesion.structure)}"
    if lesion.side is not None and anatomy.base(lesion.structure) in _SIDE_TOLD:
        spoken += f" on the {lesion.side} side"
    return spoken


def is_pleural(lesion: Lesion) -> bool:
    """Whether it is fluid or air beside a lung, which is named after the pleura."""
    lungs = anatomy.base(lesion.structure) in ("lung", "pleura")
    return lesion.kind in ("effusion", "pneumothorax") and lungs and _own_side(lesion) is not None


def stated_side(lesion: Lesion) -> Side | None:
    """The side that a text about this finding tells."""
    own = anatomy.side(lesion.structure)
    if own is not None:
        return own
    if is_pleural(lesion) or anatomy.base(lesion.structure) in _SIDE_TOLD:
        return lesion.side
    return None


def imagined(kind: str, key: str, side: Side | None = None) -> Lesion:
    """A finding that no scan holds, to be spoken of."""
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
    """Nouns for a kind in a structure, whether or not a scan holds it; the usual one first."""
    return nouns(imagined(kind, key))


def nouns(lesion: Lesion) -> list[str]:
    """The ways of naming a finding with its place, without an article; the usual one first."""
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
    """The first noun half of the time, else any."""
    return spoken[0] if rng.random() < CANONICAL_SHARE else pick(rng, spoken)


def plural_noun(lesion: Lesion, noun: str) -> str:
    """Plural of a noun that may carry its place: "cysts in the left kidney"."""
    if not is_countable(lesion):
        return noun
    starts = [start for word in _PREPOSITIONS if (start := noun.find(word)) >= 0]
    cut = min(starts, default=len(noun))
    return plural_kind(noun[:cut]) + noun[cut:]


def size(lesion: Lesion) -> str | None:
    """Its size in words; None for what is not measured in a report."""
    return None if lesion.kind in UNSIZED else millimetres(lesion.diameter_mm)


def named(lesion: Lesion, noun: str) -> str:
    """The noun with its article, if it takes one: "a left renal cyst", "ascites"."""
    return named_kind(lesion.kind, noun)


def named_kind(kind: str, noun: str) -> str:
    """The noun of a kind with its article, if it takes one."""
    return noun if kind in UNCOUNTABLE else with_article(noun)


def measured(lesion: Lesion, noun: str) -> str:
    """The noun with size and article: "a 12 mm left renal cyst", "hydronephrosis of the left kidney"."""
    dimension = size(lesion)
    if dimension is not None and is_pleural(lesion):
        return f"{named(lesion, noun)} measuring up to {dimension}"
    return named(lesion, noun) if dimension is None else with_article(f"{dimension} {noun}")


def counted(group: Sequence[Lesion], noun: str) -> str:
    """One or a number of the same finding: "a left renal cyst", "two left renal cysts"."""
    if len(group) == 1 or not is_countable(group[0]):
        return named(group[0], noun)
    return f"{count_word(len(group))} {plural_noun(group[0], noun)}"


def are_many(group: Sequence[Lesion]) -> bool:
    """Whether a verb after ``counted`` is plural."""
    return len(group) > 1 and is_countable(group[0])


def _words(lesion: Lesion) -> LesionWords | None:
    return LESION_WORDS.get((lesion.kind, host_family(lesion.structure)))


def _own_side(lesion: Lesion) -> Side | None:
    return anatomy.side(lesion.structure) or lesion.side
