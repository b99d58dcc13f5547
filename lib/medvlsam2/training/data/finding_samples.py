"""Findings of a case by their names, and names of findings that it is known to be free of."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from jaxtyping import Bool

from medvlsam2.data import vocabulary
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS, finding_key
from medvlsam2.data.structures.table import Window
from medvlsam2.training.data.cases import Case

MAX_FINDINGS = 5
"""Findings that one sample asks for; absent ones count too."""
FINDING_SHARE = 0.3
"""Of a scan with findings: their share among the objects that are drawn, and the share of dense samples that show the
window of one."""


def finding_windows(case: Case) -> list[Window]:
    """The window of each finding that the case holds, in order of their keys."""
    return [vocabulary.STRUCTURES[key].window for key in sorted(_labels(case))]


def draw_findings(case: Case, window: Window, rng: np.random.Generator) -> list[tuple[str, Bool[np.ndarray, "d m m"]]]:
    """Findings that show in a window, with their masks: those that are there, then some that are not.

    Args:
        case: the scan; of one whose findings are not all known nothing is drawn.
        window: the window that the slices are shown in.
        rng: source of every choice.
    """
    if case.facts is None or not case.facts.lesions_known:
        return []
    labels = _labels(case)
    keys = sorted(key for key in set(FINDING_KEYS.values()) if vocabulary.STRUCTURES[key].window == window)
    there = [key for key in keys if key in labels]
    others = [keys[int(i)] for i in rng.permutation(len(keys)) if keys[int(i)] not in labels]
    return [(key, np.isin(case.lesions, labels.get(key, []))) for key in (*there, *others)[:MAX_FINDINGS]]


def _labels(case: Case) -> dict[str, list[int]]:
    """Values in the lesion map of each finding."""
    labels: dict[str, list[int]] = defaultdict(list)
    if case.facts is not None and case.facts.lesions_known:
        for lesion in case.facts.lesions:
            if (key := finding_key(lesion)) is not None:
                labels[key].append(lesion.label_value)
    return labels
