"""A radiology report written from known facts, sentence by sentence, each tied to what it speaks of.

Nothing is said that the facts do not hold: no lesion is denied unless every finding is known, no structure is
called present or absent unless it is listed, and every number is a rounded measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy, lesions
from medvlsam2.data.language.grammar import be, is_plural, join, pick, sentence, shuffled

MAX_GROUPS = 4
"""Findings told in one report; more would not fit a short answer, the largest come first."""
MAX_NORMALS = 5
"""Structures called normal in one report."""

_REPORT_ORDER = (
    *("brain", "brainstem", "parotid_gland", "mandible", "larynx", "thyroid_gland"),
    *("lung", "heart", "aorta", "esophagus"),
    *("liver", "gallbladder", "spleen", "pancreas", "adrenal_gland", "kidney", "stomach"),
    *("urinary_bladder", "prostate", "uterus", "spinal_cord"),
)
_REMOVABLE = {
    "gallbladder": "liver",
    "spleen": "liver",
    "kidney_left": "kidney_right",
    "kidney_right": "kidney_left",
}
"""Structures worth saying that they are missing, where their neighbour is seen."""


@dataclass(frozen=True)
class FindingText:
    """One sentence of the findings and what it speaks of."""

    sentence: str
    """The sentence."""
    structure_key: str | None
    """The one structure it speaks of; None where it speaks of none or several."""
    lesion_label: int | None
    """Value in the lesion map of the finding it measures."""


@dataclass(frozen=True)
class ReportText:
    """A report and its parts."""

    findings: tuple[FindingText, ...]
    """Sentences of the findings, in order."""
    impression: str
    """One or two sentences."""
    text: str
    """The whole: "Findings: … Impression: …"."""


def report(facts: ScanFacts, rng: np.random.Generator) -> ReportText:
    """Write a report; the same facts and random state give the same text."""
    told = _told_groups(facts)
    findings = [_technique(facts, rng)]
    findings += [_lesion_sentence(group, rng) for group in told]
    findings += _missing(facts, rng)
    findings += _seen(facts, rng)
    impression = _impression(facts, told, rng)
    body = " ".join(each.sentence for each in findings)
    return ReportText(tuple(findings), impression, f"Findings: {body} Impression: {impression}")


def _technique(facts: ScanFacts, rng: np.random.Generator) -> FindingText:
    region = anatomy.REGION_NAMES[facts.region]
    if facts.phase is None:
        forms: tuple[str, ...] = (
            f"CT of the {region}",
            f"CT scan of the {region}",
            f"Axial CT of the {region}",
        )
    elif facts.phase == "non-contrast":
        forms = (
            f"Non-contrast CT of the {region}",
            f"CT of the {region} without contrast",
            f"Unenhanced CT of the {region}",
        )
    else:
        forms = (
            f"Contrast-enhanced CT of the {region} in the {facts.phase} phase",
            f"CT of the {region} in the {facts.phase} phase",
            f"{facts.phase} phase CT of the {region}",
        )
    return FindingText(sentence(pick(rng, forms)), None, None)


def _told_groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    order = {part: n for n, part in enumerate(_REPORT_ORDER)}
    by_size = sorted(lesions.groups(facts), key=lambda group: (-group[0].diameter_mm, group[0].label_value))
    told = by_size[:MAX_GROUPS]
    return sorted(told, key=lambda group: order.get(anatomy.base(group[0].structure), len(order)))


def _lesion_sentence(group: Sequence[Lesion], rng: np.random.Generator) -> FindingText:
    words = _several(group, rng) if len(group) > 1 else _single(group[0], rng)
    return FindingText(sentence(words), group[0].structure, group[0].label_value)


def _single(lesion: Lesion, rng: np.random.Generator) -> str:
    noun = lesions.short_noun(lesion)
    if noun is None or (rng.random() < 0.5 and not lesions.is_pleural(lesion)):
        noun = lesions.noun_with_place(lesion)
    dimension = lesions.size(lesion)
    if dimension is None:
        with_article = lesions.measured(lesion, noun)
        return pick(rng, (f"there is {with_article}", f"{with_article} is seen", f"{with_article} is present"))
    bare = pick(rng, ("there is {}", "{} is seen", "{} is present")).format(lesions.measured(lesion, noun))
    across = f"there is {lesions.measured(lesion, noun).replace(f'{dimension} ', '', 1)}"
    if lesions.is_pleural(lesion):
        return pick(rng, (bare, f"a {noun} measures up to {dimension}"))
    if lesion.kind in lesions.OF_KINDS or across.startswith("there is an "):
        return bare
    holder = anatomy.the(lesion.structure)
    holds = f"{holder} {'contain' if is_plural(anatomy.name(lesion.structure)) else 'contains'}"
    return pick(rng, (bare, f"{holds} {lesions.measured(lesion, lesion.kind)}", f"a {noun} measures {dimension}"))


def _several(group: Sequence[Lesion], rng: np.random.Generator) -> str:
    first = group[0]
    noun = lesions.short_noun(first)
    if noun is None or rng.random() < 0.5:
        noun = lesions.noun_with_place(first)
    counted = lesions.counted(group, noun)
    dimension = lesions.size(first)
    if dimension is None:
        return pick(rng, (f"there are {counted}", f"{counted} are seen", f"{counted} are present"))
    most = "the larger" if len(group) == 2 else "the largest"
    return pick(
        rng,
        (
            f"there are {counted}, {most} measuring {dimension}",
            f"{counted} are seen, {most} measuring {dimension}",
            f"there are {counted}, up to {dimension} in size",
        ),
    )


def _missing(facts: ScanFacts, rng: np.random.Generator) -> list[FindingText]:
    gone = [
        key
        for key, near in _REMOVABLE.items()
        if key in facts.absent and near in facts.volumes_ml and anatomy.is_covered(key, facts.region)
    ]
    return [
        FindingText(sentence(pick(rng, ("{} is not seen", "{} is absent")).format(anatomy.the(key))), key, None)
        for key in gone
    ]


def _seen(facts: ScanFacts, rng: np.random.Generator) -> list[FindingText]:
    """About structures without a finding: normal where all findings are known, else only visible."""
    affected = {lesion.structure for lesion in facts.lesions}
    covered = [key for key in facts.volumes_ml if anatomy.is_covered(key, facts.region)]
    free = [key for key in covered if not any(lesions.overlap(key, other) for other in affected)]
    items = _unaffected_items(free)
    chosen = [items[n] for n in sorted(shuffled(rng, range(len(items)))[:MAX_NORMALS])]
    if not chosen:
        return []
    words = ("normal", "unremarkable") if facts.lesions_known else ("visible", "seen")
    word = pick(rng, words)
    if rng.random() < 0.5:
        spoken = [item for item, _ in chosen]
        subject = f"the {join(spoken)}"
        verb = "are" if len(spoken) > 1 else be(spoken[0])
        return [FindingText(sentence(f"{subject} {verb} {word}"), chosen[0][1] if len(chosen) == 1 else None, None)]
    return [FindingText(sentence(f"the {item} {be(item)} {word}"), key, None) for item, key in chosen]


def _unaffected_items(keys: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names of structures worth telling, head to foot, the two of a pair as one."""
    items: list[tuple[str, str | None]] = []
    for part in _REPORT_ORDER:
        found = [key for key in keys if anatomy.base(key) == part]
        wholes = [key for key in found if anatomy.is_pair(key)]
        both = anatomy.pair(found[0]) if len(found) == 2 else None
        if wholes or both is None:
            items += [(anatomy.name(key), key) for key in wholes or found]
        else:
            items.append((anatomy.name(both), None))
    return items


def _impression(facts: ScanFacts, told: Sequence[Sequence[Lesion]], rng: np.random.Generator) -> str:
    if not told:
        if facts.lesions_known:
            return pick(rng, ("No focal lesion.", "No focal abnormality.", "No abnormality detected."))
        return pick(rng, ("Visible anatomy as described.", "Anatomy as described; lesions were not assessed."))
    items = [_impression_item(group, rng) for group in sorted(told, key=lambda group: -group[0].diameter_mm)]
    if rng.random() < 0.5:
        return " ".join(sentence(item) for item in items)
    return sentence(join(items))


def _impression_item(group: Sequence[Lesion], rng: np.random.Generator) -> str:
    first = group[0]
    noun = lesions.short_noun(first) or lesions.noun_with_place(first)
    if len(group) == 1:
        dimension = lesions.size(first)
        return noun if dimension is None or rng.random() < 0.5 else f"{dimension} {noun}"
    return lesions.plural_noun(first, noun)
