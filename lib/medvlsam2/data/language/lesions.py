"""How findings are spoken of: their nouns, prepositions, hosts, and whether a size is given.

A kind of finding that is not listed is spoken of as an ordinary countable noun "in" its structure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts, Side
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import count_word, is_plural, millimetres, plural, shuffled, with_article

UNCOUNTABLE = frozenset({"atelectasis", "emphysema", "ascites", "hydronephrosis", "consolidation"})
OF_KINDS = frozenset({"fracture", "aneurysm", "hydronephrosis", "dissection", "dilatation", "stenosis"})
UNSIZED = frozenset({"fracture", "atelectasis", "emphysema", "ascites", "hydronephrosis"})
GENERIC_LESIONS = frozenset({"cyst", "metastasis", "mass", "nodule", "tumor", "abscess", "hemangioma"})
"""Kinds that may also be called a lesion."""

HOSTS: dict[str, tuple[str, ...]] = {
    "cyst": ("liver", "kidney", "pancreas", "spleen", "thyroid_gland"),
    "nodule": ("lung", "adrenal_gland", "thyroid_gland"),
    "mass": ("lung", "liver", "kidney", "pancreas", "adrenal_gland", "prostate", "parotid_gland"),
    "metastasis": ("liver", "lung", "adrenal_gland", "vertebrae"),
    "hemangioma": ("liver",),
    "abscess": ("liver", "spleen", "kidney"),
    "stone": ("kidney", "gallbladder", "urinary_bladder"),
    "effusion": ("lung",),
    "fracture": ("rib", "vertebrae", "hip", "femur", "clavicula", "sacrum"),
    "aneurysm": ("aorta",),
    "calcification": ("aorta", "prostate", "pancreas"),
}
"""Structures (without side) in which a finding is plausible; "rib" stands for every rib."""

KINDS = (
    *HOSTS,
    *sorted((UNCOUNTABLE | OF_KINDS | GENERIC_LESIONS | {"hematoma", "hemorrhage"}) - HOSTS.keys()),
)
"""Every kind that texts can be searched for."""

_OWN_NOUNS = {
    ("stone", "gallbladder"): "gallstone",
    ("stone", "urinary_bladder"): "bladder stone",
    ("effusion", "heart"): "pericardial effusion",
    ("fracture", "vertebrae"): "vertebral fracture",
}
_SOLID = frozenset({"nodule", "mass", "metastasis", "tumor"})
_WITH_ADJECTIVE = frozenset({"cyst", "stone", "nodule", "mass", "metastasis", "aneurysm", "abscess", "hemangioma"})
_MIDLINE = frozenset({"body", "muscle", "fat", "subcutaneous_fat", "brain", "thyroid_gland", "prostate", "sacrum"})


def host_family(key: str) -> str:
    """The host's name in ``HOSTS``: its key without side and number."""
    bare = anatomy.base(key)
    return bare.partition("_")[0] if bare.startswith(("rib_", "vertebrae_")) else bare


def plausible_hosts(kind: str, keys: Sequence[str]) -> list[str]:
    """Those structures in which this kind of finding may be asked about."""
    families = HOSTS.get(kind, ())
    return [key for key in keys if host_family(key) in families]


def groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    """Findings of one kind in one structure together, the largest first in each group."""
    grouped: dict[tuple[str, str], list[Lesion]] = defaultdict(list)
    for lesion in facts.lesions:
        grouped[lesion.kind, lesion.structure].append(lesion)
    return [tuple(sorted(group, key=lambda each: -each.diameter_mm)) for group in grouped.values()]


def denials(facts: ScanFacts, rng: np.random.Generator, per_kind: int) -> list[tuple[str, str]]:
    """Kinds and structures of which it is known that the one is not in the other, some of each kind.

    The side opposite to a finding comes first, since it is the hardest to tell. A kind is not denied
    where a look-alike lies: a metastasis of the lung is also a nodule.
    """
    if not facts.lesions_known:
        return []
    denied: list[tuple[str, str]] = []
    for kind in HOSTS:
        alike = [lesion.structure for lesion in facts.lesions if _alike(kind, lesion.kind)]
        free = [
            key
            for key in plausible_hosts(kind, list(facts.volumes_ml))
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
    """Plural of a kind; what cannot be counted stays as it is."""
    return kind if kind in UNCOUNTABLE or is_plural(kind) else plural(kind)


def place(lesion: Lesion) -> str:
    """Where it is: "in the left kidney", "of the aorta"."""
    preposition = "of" if lesion.kind in OF_KINDS else "in"
    if is_pleural(lesion):
        return f"in the {_pleural_side(lesion)} pleural space"
    spoken = f"{preposition} {anatomy.the(lesion.structure)}"
    if lesion.side is not None and anatomy.base(lesion.structure) in _MIDLINE:
        spoken += f" on the {lesion.side} side"
    return spoken


def is_pleural(lesion: Lesion) -> bool:
    """Whether it is fluid beside a lung, which is named after the pleura."""
    lungs = anatomy.base(lesion.structure) in ("lung", "pleura")
    return lesion.kind == "effusion" and lungs and _pleural_side(lesion) is not None


def stated_side(lesion: Lesion) -> Side | None:
    """The side that a text about this finding tells."""
    own = anatomy.side(lesion.structure)
    if own is not None:
        return own
    if is_pleural(lesion) or anatomy.base(lesion.structure) in _MIDLINE:
        return lesion.side
    return None


def short_noun(lesion: Lesion) -> str | None:
    """The noun that already tells the place: "left renal cyst", "gallstone"; None where there is none."""
    if is_pleural(lesion):
        return f"{_pleural_side(lesion)} pleural effusion"
    own = _OWN_NOUNS.get((lesion.kind, anatomy.base(lesion.structure)))
    if own is not None:
        return own
    adjective = anatomy.adjective(lesion.structure)
    return f"{adjective} {lesion.kind}" if adjective and lesion.kind in _WITH_ADJECTIVE else None


def noun_with_place(lesion: Lesion) -> str:
    """Kind and place, no article: "cyst in the left kidney"."""
    if is_pleural(lesion):
        return f"{_pleural_side(lesion)} pleural effusion"
    return f"{lesion.kind} {place(lesion)}"


def nouns_of(kind: str, key: str) -> list[str]:
    """Nouns for a kind in a structure, whether or not a scan holds it; the shortest first."""
    imagined = Lesion(
        kind=kind,
        structure=key,
        side=anatomy.side(key),
        center_ijk=(0, 0, 0),
        center_ras=(0.0, 0.0, 0.0),
        diameter_mm=0.0,
        mean_hu=0.0,
        label_value=0,
    )
    return nouns(imagined)


def nouns(lesion: Lesion) -> list[str]:
    """The one or two ways of naming a finding with its place."""
    short = short_noun(lesion)
    full = noun_with_place(lesion)
    return [full] if short is None or short == full else [short, full]


def plural_noun(lesion: Lesion, noun: str) -> str:
    """Plural of a noun that may carry its place: "cysts in the left kidney"."""
    head, separator, rest = noun.partition(f" {'of' if lesion.kind in OF_KINDS else 'in'} ")
    return f"{plural_kind(head)}{separator}{rest}"


def size(lesion: Lesion) -> str | None:
    """Its size in words; None for what is not measured in a report."""
    return None if lesion.kind in UNSIZED else millimetres(lesion.diameter_mm)


def measured(lesion: Lesion, noun: str) -> str:
    """The noun with size and article: "a 12 mm left renal cyst", "atelectasis in the left lung"."""
    dimension = size(lesion)
    if dimension is not None:
        return with_article(f"{dimension} {noun}")
    return noun if lesion.kind in UNCOUNTABLE else with_article(noun)


def counted(group: Sequence[Lesion], noun: str) -> str:
    """A number of the same finding: "two left renal cysts"."""
    return f"{count_word(len(group))} {plural_noun(group[0], noun)}"


def _pleural_side(lesion: Lesion) -> Side | None:
    return anatomy.side(lesion.structure) or lesion.side
