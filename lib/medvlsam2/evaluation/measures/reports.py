"""Reports of phantoms: whether the findings are right, and how similar the text is to right reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language.clinical import Finding, parse_findings, stated_findings
from medvlsam2.data.language.reporting import reports
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.texts import TextPair
from medvlsam2.tasks.converse import report
from medvlsam2.tasks.engine.engine import Engine

TASK: Final = "report"
NUM_REFERENCES: Final = 5
"""Right reports of each scan in different words, with which the text is compared."""
_NO_FINDING: Final = ("normal", "absent")


def measure_reports(engine: Engine, scan: LabelledScan) -> Iterator[Measurement | TextPair]:
    """Clinical F1 of each kind of finding, and the text to compare; nothing where findings are not known."""
    if scan.facts is None or not scan.facts.lesions_known:
        return
    written = report(engine, scan.volume).text
    for kind, (value, weight) in f1_parts(parse_findings(written), stated_findings(scan.facts)).items():
        yield Measurement(TASK, scan.group, kind, "clinical f1", scan.patient, value, weight)
    yield TextPair(TASK, scan.group, "report", scan.patient, written, _references(scan.facts))


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


def _references(facts: ScanFacts) -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    return tuple(reports.report(facts, rng).text for _ in range(NUM_REFERENCES))
