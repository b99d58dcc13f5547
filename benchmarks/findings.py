"""Which findings the quick masks tell rightly: found, missed and invented, on phantoms.

    python benchmarks/findings.py --model model/medvlsam2-nano --fit
    python benchmarks/findings.py --model model/medvlsam2-nano --first-seed 710000

Reports and answers are told what masks measure, but only of the findings that ``metadata.json`` names, and only from a
strength on. The first command fits that strength for each finding, for the best F1, and names those whose F1 is good
enough; the second tells how well they then do on other phantoms. Do not take the training's seeds (1000 and later), on
which the findings look easier than they are, or the evaluation's own (500000 and later), which must choose nothing. A
scan counts once for each finding.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS, finding_key
from medvlsam2.evaluation.scans import draw_phantom
from medvlsam2.tasks.engine.engine import Engine

KEYS = sorted(set(FINDING_KEYS.values()))
FIRST_SEED = 700_000
MIN_F1 = 0.5
"""A finding that is told rightly less often than this is better not told."""
MIN_SCANS = 3
"""From so few scans with a finding nothing is fitted."""


@dataclass(frozen=True)
class Inspected:
    """One phantom."""

    strengths: dict[str, float]
    """How strongly each finding is seen."""
    true: frozenset[str]
    """Findings that are in it."""


def main() -> None:
    """Look at the phantoms, fit what is to be fitted, and print a row for each finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--phantoms", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fit", action="store_true", help="write thresholds into the model's metadata.json")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.phantoms)
    with ProcessPoolExecutor(
        options.workers, get_context("spawn"), initializer=partial(torch.set_num_threads, 1)
    ) as pool:
        inspected = list(pool.map(partial(_inspect, options.model), seeds))
    path = options.model / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    if options.fit:
        metadata["finding_thresholds"] = fitted(inspected)
        metadata["findings"] = list(metadata["finding_thresholds"])
        path.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    print(f"{len(inspected)} phantoms, seeds {seeds.start} to {seeds.stop - 1}")
    print("| finding | threshold | found | missed | invented | F1 |\n|---|--:|--:|--:|--:|--:|")
    for key in KEYS:
        threshold = metadata.get("finding_thresholds", {}).get(key, np.inf)
        found, missed, invented = counts(inspected, key, threshold)
        print(f"| {key} | {threshold:.2f} | {found} | {missed} | {invented} | {f1(found, missed, invented):.2f} |")


def fitted(inspected: Sequence[Inspected]) -> dict[str, float]:
    """The threshold with the best F1 of each finding for which it is good enough: midway to the next weaker scan."""
    thresholds: dict[str, float] = {}
    for key in KEYS:
        seen = sorted({one.strengths[key] for one in inspected if np.isfinite(one.strengths.get(key, -np.inf))})
        middles = [(low + high) / 2 for low, high in pairwise(seen)]
        scores = {middle: f1(*counts(inspected, key, middle)) for middle in middles if middle > 0}
        best = max(scores, key=lambda middle: scores[middle], default=None)
        if best is not None and scores[best] >= MIN_F1 and sum(key in one.true for one in inspected) >= MIN_SCANS:
            thresholds[key] = round(best, 3)
    return thresholds


def counts(inspected: Sequence[Inspected], key: str, threshold: float) -> tuple[int, int, int]:
    """Scans in which a finding is found, missed and invented."""
    told = [one.strengths.get(key, -np.inf) >= threshold for one in inspected]
    true = [key in one.true for one in inspected]
    pairs = Counter(zip(told, true, strict=True))
    return pairs[True, True], pairs[False, True], pairs[True, False]


def f1(found: int, missed: int, invented: int) -> float:
    """0 where nothing is found."""
    return 2 * found / max(2 * found + missed + invented, 1)


def _inspect(model: Path, seed: int) -> Inspected:
    scan = draw_phantom(seed)
    assert scan.facts is not None
    strengths = Engine(model).session(scan.volume).finding_strengths(KEYS)
    return Inspected(strengths, frozenset(key for one in scan.facts.lesions if (key := finding_key(one)) is not None))


if __name__ == "__main__":
    main()
