"""Parts of a report: the choice of findings and structures, and their sentences or short phrases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import be, capital, is_plural, join, pick, sentence, shuffled
from medvlsam2.data.language.reporting import report_wording as wording
from medvlsam2.data.language.wording import CANONICAL_SHARE

MAX_GROUPS = 6
"""Most groups of findings in one report; more would not fit a short answer. The largest findings are kept."""
MAX_NORMALS = 5
"""Most structures that one report calls normal."""

_ORDER = (
    *("brain", "brainstem", "parotid_gland", "mandible", "larynx", "thyroid_gland"),
    *("lung", "heart", "coronary_arteries", "aorta", "esophagus"),
    *("liver", "gallbladder", "spleen", "pancreas", "adrenal_gland", "kidney", "stomach"),
    *("urinary_bladder", "prostate", "uterus", "spinal_cord"),
)
_OTHER_HEADINGS = {"body": "Abdomen", "skeletal_muscle": "Soft tissues"}
_REMOVABLE = {
    "gallbladder": "liver",
    "spleen": "liver",
    "kidney_left": "kidney_right",
    "kidney_right": "kidney_left",
}
"""Structures that surgery may remove, each with a neighbour. A report says that such a structure is missing if the scan
shows the neighbour."""


def stated_groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    """Return the groups of findings that a report states: the largest ones, from head to foot."""
    by_size = sorted(lesions.groups(facts), key=lambda group: (-group[0].diameter_mm, group[0].label_value))
    return sorted(by_size[:MAX_GROUPS], key=lambda group: place_in_report(group[0].structure))


def place_in_report(key: str | None) -> int:
    """Return the position of a structure in a report; bones and soft tissues come last."""
    base = "" if key is None else anatomy.base(key)
    return _ORDER.index(base) if base in _ORDER else len(_ORDER)


def technique(facts: ScanFacts, rng: np.random.Generator) -> str:
    """Return a sentence about the scanned region and, if known, the contrast phase."""
    region = anatomy.REGION_NAMES[facts.region]
    if facts.phase is None:
        return wording.TECHNIQUE.draw(rng, region=region)
    if facts.phase == "non-contrast":
        return wording.PLAIN_TECHNIQUE.draw(rng, region=region)
    return wording.CONTRAST_TECHNIQUE.draw(rng, region=region, phase=facts.phase)


def brief_technique(facts: ScanFacts) -> str:
    """Return region and phase in a few words: "CT chest, arterial phase."."""
    phase = {None: "", "non-contrast": ", non-contrast"}.get(facts.phase, f", {facts.phase} phase")
    return f"CT {anatomy.REGION_NAMES[facts.region]}{phase}."


def heading(key: str) -> str:
    """Return the heading under which a structure's findings stand: "Kidneys", "Bones"."""
    base = anatomy.base(key)
    if base not in _ORDER:
        return _OTHER_HEADINGS.get(base, "Bones")
    return capital(anatomy.name(anatomy.pair(key) or key))


def lesion_sentence(group: Sequence[Lesion], rng: np.random.Generator) -> str:
    """Return a sentence about one group of findings."""
    first = group[0]
    noun = lesions.usual_or_any(lesions.nouns(first), rng)
    dimension = lesions.size(first)
    if lesions.are_many(group):
        return _several(group, noun, dimension, rng)
    if first.kind == "enlargement" and rng.random() >= CANONICAL_SHARE:
        return wording.ENLARGED.draw(rng, holder=anatomy.name(first.structure), noun=noun)
    usual = wording.SINGLE.draw(rng, a=lesions.measured(first, noun))
    if rng.random() < CANONICAL_SHARE:
        return usual
    return pick(rng, (usual, *_unusual(first, noun, dimension, rng)))


def _unusual(first: Lesion, noun: str, dimension: str | None, rng: np.random.Generator) -> list[str]:
    """Return sentences that state the size of a finding, or that begin with its structure."""
    texts: list[str] = []
    if dimension is not None:
        texts.append(wording.MEASURED.draw(rng, noun=lesions.named(first, noun), size=dimension))
    if first.kind not in lesions.OF_KINDS and not lesions.tells_place(first) and lesions.is_placed(first):
        many = is_plural(anatomy.name(first.structure))
        slots = {"contains": "contain" if many else "contains", "shows": "show" if many else "shows"}
        finding = lesions.measured(first, lesions.bare(first))
        texts.append(wording.HELD.draw(rng, the=anatomy.the(first.structure), a=finding, **slots))
    return texts


def _several(group: Sequence[Lesion], noun: str, dimension: str | None, rng: np.random.Generator) -> str:
    counted = lesions.counted(group, noun)
    if dimension is None:
        return wording.SEVERAL_UNSIZED.draw(rng, counted=counted)
    most = "the larger" if len(group) == 2 else "the largest"
    return wording.SEVERAL.draw(rng, counted=counted, most=most, size=dimension)


def brief(group: Sequence[Lesion], rng: np.random.Generator) -> str:
    """Return one group of findings in a few words: "left renal cyst, 24 mm"."""
    first = group[0]
    noun = lesions.usual_or_any(lesions.nouns(first), rng)
    dimension = lesions.size(first)
    if lesions.are_many(group):
        words = lesions.counted(group, noun)
        return words if dimension is None else f"{words}, up to {dimension}"
    if lesions.is_pleural(first) and dimension is not None:
        return f"{noun}, up to {dimension}"
    return noun if dimension is None else pick(rng, (f"{noun}, {dimension}", f"{dimension} {noun}"))


def missing(facts: ScanFacts) -> list[str]:
    """Return the structures that a report states as missing (see ``_REMOVABLE``)."""
    return [
        key
        for key, near in _REMOVABLE.items()
        if key in facts.absent and near in facts.volumes_ml and anatomy.is_covered(key, facts.region)
    ]


def absence(key: str, rng: np.random.Generator) -> str:
    """Return a sentence that a structure is missing."""
    name = anatomy.name(key)
    return wording.ABSENT.draw(rng, the=anatomy.the(key), is_=be(name), name=name)


def state(names: Sequence[str], rng: np.random.Generator, *, known: bool) -> str:
    """Return a sentence about structures without a finding.

    They are called normal if all findings of the scan are known, else only visible.
    """
    many = len(names) > 1 or is_plural(names[0])
    asked = wording.NORMAL if known else wording.VISIBLE
    slots = {"is_": "are" if many else "is", "appears": "appear" if many else "appears"}
    return sentence(asked.draw(rng, the=f"the {join(names)}", **slots))


def unaffected(facts: ScanFacts, rng: np.random.Generator) -> list[tuple[str, str | None]]:
    """Return some structures without a finding, from head to foot: the name, and the key (None for a pair)."""
    affected = {lesion.structure for lesion in facts.lesions}
    covered = [key for key in facts.volumes_ml if anatomy.is_covered(key, facts.region)]
    free = [key for key in covered if not any(lesions.may_overlap(key, other) for other in affected)]
    items = _items(free)
    return [items[n] for n in sorted(shuffled(rng, range(len(items)))[:MAX_NORMALS])]


def _items(keys: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the names and keys of structures that reports mention, from head to foot; a pair is one item."""
    items: list[tuple[str, str | None]] = []
    for part in _ORDER:
        found = [key for key in keys if anatomy.base(key) == part]
        wholes = [key for key in found if anatomy.is_pair(key)]
        both = anatomy.pair(found[0]) if len(found) == 2 else None
        if wholes or both is None:
            items += [(anatomy.name(key), key) for key in wholes or found]
        else:
            items.append((anatomy.name(both), None))
    return items
