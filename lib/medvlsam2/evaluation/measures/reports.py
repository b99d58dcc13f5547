"""Reports: right findings, sentences that facts support, and nothing that masks or labels contradict.

A report is written twice for a phantom: on what the model measures, and on its true facts. Imagined scans, of which
only facts exist, are reported too. So errors of masks and of writing are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from medvlsam2.data.fact_table import FactTable
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language.clinical import Finding, parse_findings, stated_findings
from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.grounded import known_facts
from medvlsam2.data.language.reporting import reports
from medvlsam2.evaluation.claims.checking import Checked, check
from medvlsam2.evaluation.claims.evidence import MaskEvidence, TableEvidence, family_of
from medvlsam2.evaluation.claims.reading import Presence, claims_in
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures.contradictions import count_contradictions, evidence_of_masks
from medvlsam2.evaluation.measures.words import MIN_VOXELS
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.texts import TextPair
from medvlsam2.tasks.converse import Report, report
from medvlsam2.tasks.engine.engine import Engine

TASK: Final = "report"
NUM_REFERENCES: Final = 5
"""Right reports of each scan in different words, with which the text is compared."""
IMAGINED_EACH: Final = 5
"""Imagined scans that are reported beside each phantom: 60 beside 12 phantoms."""
OWN_WORDS: Final = ", own words"
"""Ends the names of metrics of reports that the model writes freely, as in the paper; of phantoms alone."""
_NO_FINDING: Final = ("normal", "absent")


def measure_reports(engine: Engine, scan: LabelledScan) -> Iterator[Measurement | TextPair]:
    """Measure the report of a scan: by its facts, by masks, by labels; a phantom's also by its findings."""
    written = report(engine, scan.volume)
    evidence = evidence_of_masks(engine, scan, written.facts)
    yield from _of_text(scan, written, written.facts, evidence)
    yield from _facts_told(scan, written)
    yield from _by_labels(scan, [each.sentence for each in written.sentences])
    if scan.facts is None or not scan.facts.lesions_known:
        return
    yield from _of_text(scan, report(engine, scan.volume, grounded=False), written.facts, evidence, OWN_WORDS)
    yield TextPair(TASK, scan.group, "report", scan.patient, written.text, _references(scan.facts))
    yield from _with_true_facts(engine, scan)


def told_findings(text: str) -> frozenset[Finding]:
    """The findings that a report states."""
    return frozenset(finding for finding in parse_findings(text) if finding[0] not in _NO_FINDING)


def f1_parts(written: frozenset[Finding], stated: frozenset[Finding]) -> dict[str, tuple[float, float]]:
    """2 TP and 2 TP + FP + FN of each kind of finding; a finding is right if kind, structure and side are.

    Example:
        >>> cyst, mass = ("cyst", "liver", None), ("mass", "lung_left", "left")
        >>> f1_parts(frozenset({cyst, mass}), frozenset({cyst}))
        {'cyst': (2.0, 2.0), 'mass': (0.0, 1.0)}
    """
    told = {finding for finding in written if finding[0] not in _NO_FINDING}
    kinds = sorted({finding[0] for finding in told | stated})
    right = {kind: 2.0 * sum(finding[0] == kind for finding in told & stated) for kind in kinds}
    return {kind: (right[kind], right[kind] + sum(f[0] == kind for f in told ^ stated)) for kind in kinds}


def _f1(scan: LabelledScan, metric: str, told: frozenset[Finding], stated: frozenset[Finding]) -> Iterator[Measurement]:
    for kind, (value, weight) in f1_parts(told, stated).items():
        yield Measurement(TASK, scan.group, kind, metric, scan.patient, value, weight)


def _with_true_facts(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Reports of the phantom's true facts, and of imagined scans that belong to the phantom."""
    assert scan.facts is not None
    rng = np.random.default_rng(seed_of(scan.name))
    imagined = (random_facts(rng) for _ in iter(int, 1))
    known = [
        facts for facts, _ in zip((one for one in imagined if one.lesions_known), range(IMAGINED_EACH), strict=False)
    ]
    for facts in (scan.facts, *known):
        written = report(engine, scan.volume, facts=known_facts(facts))
        yield from _f1(scan, "clinical f1, true facts", told_findings(written.text), stated_findings(facts))


def seed_of(name: str) -> int:
    """A number that stays the same for a name, to draw by.

    Example:
        >>> seed_of("phantom 500001")
        500001
    """
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0)


def _of_text(
    scan: LabelledScan, written: Report, facts: FactTable, evidence: MaskEvidence, suffix: str = ""
) -> Iterator[Measurement]:
    """Sentences that facts support, contradictions with masks, and right and invented findings of a phantom."""
    sentences = [each.sentence for each in written.sentences]
    for sentence in sentences:
        found = check(sentence, TableEvidence(facts))
        if found:
            value = float(_is_supported(found))
            yield Measurement(TASK, scan.group, "sentence", f"supported by facts{suffix}", scan.patient, value)
    yield from count_contradictions(TASK, scan, sentences, evidence, suffix)
    if scan.facts is not None and scan.facts.lesions_known:
        stated, told = stated_findings(scan.facts), told_findings(written.text)
        yield from _f1(scan, f"clinical f1{suffix}", told, stated)
        invented = float(len(told - stated))
        yield Measurement(TASK, scan.group, "report", f"findings invented{suffix}", scan.patient, invented)


def _facts_told(scan: LabelledScan, written: Report) -> Iterator[Measurement]:
    """Share of the findings among the reply's facts that a sentence tells."""
    claims = [claim for each in written.sentences for claim in claims_in(each.sentence) if isinstance(claim, Presence)]
    told = {claim.mention.key for claim in claims if claim.is_there}
    for key in findings_to_tell(written.facts):
        is_told = any(key in family_of(each) for each in told)
        yield Measurement(TASK, scan.group, key, "facts told", scan.patient, float(is_told))


def findings_to_tell(table: FactTable) -> list[str]:
    """Keys of the findings of a table that are present: a report must tell each."""
    return list(dict.fromkeys(fact.key for fact in table if fact.is_present and fact.kind == "finding"))


def _is_supported(found: Sequence[Checked]) -> bool:
    return not any(each.verdict is False for each in found)


def _by_labels(scan: LabelledScan, sentences: Sequence[str]) -> Iterator[Measurement]:
    """Statements that a structure is there or not, where the labels of a real scan prove which is right."""
    if scan.lesion_map is not None or scan.is_pseudo:
        return
    absent = () if scan.facts is None else scan.facts.absent
    for sentence in sentences:
        for claim in claims_in(sentence):
            if not isinstance(claim, Presence):
                continue
            key = claim.mention.key
            labelled = key in scan.truth and int(scan.truth[key].sum()) >= MIN_VOXELS
            if labelled or key in absent:
                wrong = float(claim.is_there != labelled)
                yield Measurement(TASK, scan.group, key, "presence stated wrongly", scan.patient, wrong)


def _references(facts: ScanFacts) -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    return tuple(reports.report(facts, rng).text for _ in range(NUM_REFERENCES))
