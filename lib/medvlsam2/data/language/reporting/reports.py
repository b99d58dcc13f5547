"""Writer of a radiology report from known facts; each sentence is linked to its structure and its finding.

A report states only known facts. It denies a lesion only if every finding is known. It calls a structure present or
absent only if the facts list it. Every number is a rounded measurement. Three styles state the same facts: whole
sentences, one line for each organ, and a few words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import capital, join, pick, sentence
from medvlsam2.data.language.reporting import report_parts
from medvlsam2.data.language.reporting.report_wording import NOTHING_FOUND


@dataclass(frozen=True)
class FindingText:
    """One sentence of the findings, with its structure and its finding."""

    sentence: str
    """The sentence."""
    structure_key: str | None
    """Key of the structure that the sentence is about; None for no structure or several structures."""
    lesion_label: int | None
    """Value in the lesion map of the finding that the sentence states; None for no finding."""


@dataclass(frozen=True)
class ReportText:
    """A report and its parts."""

    findings: tuple[FindingText, ...]
    """Sentences of the findings, in order."""
    impression: str
    """Impression: one or more sentences."""
    text: str
    """The whole report: "Findings: … Impression: …"."""


def report(facts: ScanFacts, rng: np.random.Generator, style: ReportStyle = "narrative") -> ReportText:
    """Return a report; the same facts and random state give the same text.

    Args:
        facts: known facts of the scan.
        rng: random generator for every choice of words.
        style: "narrative" in whole sentences, "structured" with a line for each organ, "terse" in a few words.
    """
    groups = report_parts.stated_groups(facts)
    findings = _BODIES[style](facts, groups, rng)
    impression = _impression(facts, groups, rng)
    between = "\n" if style == "structured" else " "
    body = between.join(each.sentence for each in findings)
    return ReportText(tuple(findings), impression, f"Findings:{between}{body}{between}Impression: {impression}")


def _narrative(facts: ScanFacts, groups: Sequence[tuple[Lesion, ...]], rng: np.random.Generator) -> list[FindingText]:
    seen = report_parts.unaffected(facts, rng)
    findings = [FindingText(report_parts.technique(facts, rng), None, None)]
    findings += [_about(group, report_parts.lesion_sentence(group, rng)) for group in groups]
    findings += [FindingText(report_parts.absence(key, rng), key, None) for key in report_parts.missing(facts)]
    if seen and rng.random() < 0.5:
        words = report_parts.state([name for name, _ in seen], rng, known=facts.lesions_known)
        return [*findings, FindingText(words, seen[0][1] if len(seen) == 1 else None, None)]
    states = [(report_parts.state([name], rng, known=facts.lesions_known), key) for name, key in seen]
    return [*findings, *(FindingText(words, key, None) for words, key in states)]


def _structured(facts: ScanFacts, groups: Sequence[tuple[Lesion, ...]], rng: np.random.Generator) -> list[FindingText]:
    """Return a line for each organ; other findings stand under "Bones", "Soft tissues" or "Abdomen"."""
    lines = [(report_parts.place_in_report(group[0].structure), _about(group, _headed(group, rng))) for group in groups]
    lines += [
        (report_parts.place_in_report(key), FindingText(f"{capital(anatomy.name(key))}: Not seen.", key, None))
        for key in report_parts.missing(facts)
    ]
    word = pick(rng, ("Normal", "Unremarkable")) if facts.lesions_known else "Visible"
    for name, key in report_parts.unaffected(facts, rng):
        line = FindingText(f"{capital(name)}: {word}.", key, None)
        lines.append((report_parts.place_in_report(key or anatomy.key_of(name)), line))
    ordered = sorted(lines, key=lambda item: item[0])
    return [FindingText(report_parts.technique(facts, rng), None, None), *(line for _, line in ordered)]


def _headed(group: Sequence[Lesion], rng: np.random.Generator) -> str:
    heading = report_parts.heading(group[0].structure)
    return f"{heading}: {capital(report_parts.brief(group, rng))}."


def _terse(facts: ScanFacts, groups: Sequence[tuple[Lesion, ...]], rng: np.random.Generator) -> list[FindingText]:
    findings = [FindingText(report_parts.brief_technique(facts), None, None)]
    findings += [_about(group, sentence(report_parts.brief(group, rng))) for group in groups]
    findings += [
        FindingText(sentence(f"{anatomy.name(key)} not seen"), key, None) for key in report_parts.missing(facts)
    ]
    seen = report_parts.unaffected(facts, rng)
    if seen:
        word = "normal" if facts.lesions_known else "visible"
        words = sentence(f"{join([name for name, _ in seen])} {word}")
        findings.append(FindingText(words, seen[0][1] if len(seen) == 1 else None, None))
    return findings


_BODIES: dict[
    ReportStyle,
    Callable[[ScanFacts, Sequence[tuple[Lesion, ...]], np.random.Generator], list[FindingText]],
] = {"narrative": _narrative, "structured": _structured, "terse": _terse}


def _about(group: Sequence[Lesion], words: str) -> FindingText:
    return FindingText(words, group[0].structure, group[0].label_value)


def _impression(facts: ScanFacts, groups: Sequence[Sequence[Lesion]], rng: np.random.Generator) -> str:
    if not groups:
        if facts.lesions_known:
            return NOTHING_FOUND.draw(rng)
        return pick(rng, ("Visible anatomy as described.", "Anatomy as described; lesions were not assessed."))
    items = [_impression_item(group, rng) for group in sorted(groups, key=lambda group: -group[0].diameter_mm)]
    if rng.random() < 0.5:
        return " ".join(sentence(item) for item in items)
    return sentence(join(items))


def _impression_item(group: Sequence[Lesion], rng: np.random.Generator) -> str:
    first = group[0]
    noun = lesions.usual_or_any(lesions.nouns(first), rng)
    if lesions.are_many(group):
        return lesions.plural_noun(first, noun)
    dimension = lesions.size(first)
    is_bare = dimension is None or lesions.is_pleural(first) or rng.random() < 0.5
    return noun if is_bare else f"{dimension} {noun}"
