"""Single measurements, and the rows of the tables: means with intervals over patients.

Every figure is a ratio of two sums: a mean has weight 1 everywhere; an F1 score is 2 TP over 2 TP + FP + FN. So one
bootstrap serves all figures: patients are drawn with replacement, each with all of the patient's measurements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

ALL: Final = "all"
"""Subject of the row in which every measurement counts once."""
MEAN: Final = "mean of all"
"""Subject of the row in which every subject counts once."""
REAL: Final = "all real scans"
RESAMPLES: Final = 1000
BOOTSTRAP_SEED: Final = 20_260_109


@dataclass(frozen=True)
class Measurement:
    """One number about one scan."""

    task: str
    group: str
    """Source of the scan."""
    subject: str
    """What was measured: a structure, a kind of finding, a topic of questions."""
    metric: str
    patient: str
    value: float
    weight: float = 1.0
    """Denominator of the ratio; 1 for a plain mean."""


@dataclass(frozen=True)
class Row:
    """One figure of the evaluation."""

    task: str
    group: str
    subject: str
    metric: str
    n: int
    """Number of measurements."""
    patients: int
    mean: float
    low: float | None
    """Lower end of the 95 % interval; None with one patient, of whom nothing can be resampled."""
    high: float | None


def rows(measurements: Sequence[Measurement]) -> list[Row]:
    """Rows per subject, over all subjects in both ways of counting, and over all real scans; sorted."""
    tables: dict[tuple[str, str, str], list[Measurement]] = defaultdict(list)
    for each in measurements:
        tables[each.task, each.group, each.metric].append(each)
    pooled: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for each in measurements:
        if is_real(each.group):
            pooled[each.task, each.metric].append(each)
    found = [row for part in tables.values() for row in _table(part)]
    for part in pooled.values():
        if len({each.group for each in part}) > 1:
            found.append(_row(ALL, {ALL: part}, group=REAL))
    found = [row for row in found if np.isfinite(row.mean)]
    return sorted(found, key=lambda row: (row.task, row.metric, row.group, row.subject))


def is_real(group: str) -> bool:
    """Whether a group holds scans of people with true labels."""
    return group != "phantom" and "pseudo" not in group


def _table(part: Sequence[Measurement]) -> list[Row]:
    """Rows of one metric in one group."""
    by_subject = _by_subject(part)
    found = [_row(subject, {subject: own}) for subject, own in by_subject.items()]
    if len(by_subject) > 1:
        found += [_row(ALL, {ALL: list(part)}), _row(MEAN, by_subject)]
    return found


def _by_subject(part: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = defaultdict(list)
    for each in part:
        found[each.subject].append(each)
    return dict(found)


def _row(subject: str, strata: dict[str, list[Measurement]], group: str | None = None) -> Row:
    """The mean over strata of each stratum's ratio of sums."""
    part = [each for own in strata.values() for each in own]
    patients = sorted({each.patient for each in part})
    place = {patient: number for number, patient in enumerate(patients)}
    sums = np.zeros((2, len(strata), len(patients)))
    for number, own in enumerate(strata.values()):
        for each in own:
            sums[:, number, place[each.patient]] += each.value, each.weight
    mean = float(_mean_ratio(sums.sum(axis=2)))
    low, high = _interval(sums) if len(patients) > 1 else (None, None)
    first = part[0]
    return Row(first.task, group or first.group, subject, first.metric, len(part), len(patients), mean, low, high)


def _interval(sums: Float[np.ndarray, "2 strata patients"]) -> tuple[float | None, float | None]:
    """95 % percentile interval over resampled patients."""
    num_patients = sums.shape[2]
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    times = rng.multinomial(num_patients, np.full(num_patients, 1 / num_patients), size=RESAMPLES)
    resampled = np.einsum("tsp,rp->tsr", sums, times.astype(float))
    means = _mean_ratio(resampled)
    means = means[np.isfinite(means)]
    if means.size == 0:
        return None, None
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _mean_ratio(sums: Float[np.ndarray, "2 strata *resamples"]) -> Float[np.ndarray, "*resamples"]:
    """Mean over strata of value over weight; strata without weight are left out."""
    values, weights = sums
    has = weights > 0
    ratios = np.divide(values, weights, out=np.zeros_like(values), where=has)
    counted = has.sum(axis=0)
    return np.divide(ratios.sum(axis=0), counted, out=np.full(counted.shape, np.nan), where=counted > 0)
