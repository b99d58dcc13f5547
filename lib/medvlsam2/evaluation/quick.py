"""One cheap figure for a training that runs: mean Dice by words alone on a few scans.

A training must not import this package, which stands above it: who starts the training hands the function in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medvlsam2.evaluation.metrics import dice
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.words import find_by_name, large_enough
from medvlsam2.tasks.engine.engine import Engine


def words_dice(engine: Engine, scans: Sequence[LabelledScan]) -> float:
    """Mean over structures of their mean Dice over scans, as the row "mean of all" of the whole evaluation.

    Args:
        engine: the model.
        scans: read once and kept by the caller.
    """
    scores: dict[str, list[float]] = {}
    for scan in scans:
        truth = large_enough(scan.truth)
        for key, mask in (find_by_name(engine, scan, list(truth)) if truth else {}).items():
            scores.setdefault(key, []).append(dice(mask, truth[key]))
    return float(np.mean([np.mean(values) for values in scores.values()])) if scores else 0.0
