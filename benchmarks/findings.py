"""Which findings the quick masks tell rightly: found, missed and invented, on phantoms.

    python benchmarks/findings.py --model model/medvlsam2-nano --first-seed 1000 --phantoms 40

Reports and answers are told what masks measure, but only of the findings that ``metadata.json`` names, so those that
are invented more often than found should not be named there; here all are looked for, whatever it names. Take seeds
that were trained on (1000 and later): the evaluation's own (500000 and later) choose nothing. A scan counts once for
each kind of finding.
"""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from medvlsam2.data.language.finding_keys import FINDING_KEYS
from medvlsam2.evaluation.scans import draw_phantom
from medvlsam2.tasks.engine import Engine


def main() -> None:
    """Look at the phantoms and print a row for each kind of finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.phantoms)
    with ProcessPoolExecutor(
        options.workers, get_context("spawn"), initializer=partial(torch.set_num_threads, 1)
    ) as pool:
        looked = list(pool.map(partial(_look, options.model), seeds))
    found, missed, invented = Counter[str](), Counter[str](), Counter[str]()
    for told, true in looked:
        found.update(told & true)
        missed.update(true - told)
        invented.update(told - true)
    print(f"{len(looked)} phantoms, seeds {seeds.start} to {seeds.stop - 1}")
    print("| finding | found | missed | invented | F1 |\n|---|--:|--:|--:|--:|")
    for kind in sorted({*found, *missed, *invented}):
        score = 2 * found[kind] / (2 * found[kind] + missed[kind] + invented[kind])
        print(f"| {kind} | {found[kind]} | {missed[kind]} | {invented[kind]} | {score:.2f} |")


def _look(model: Path, seed: int) -> tuple[set[str], set[str]]:
    """Kinds of finding that were measured in a phantom, and those that are in it."""
    scan = draw_phantom(seed)
    session = Engine(model).session(scan.volume)
    session.loaded.metadata["findings"] = sorted(set(FINDING_KEYS.values()))
    measured = session.facts
    assert scan.facts is not None
    told = () if measured is None else measured.lesions
    return {_name(one.structure, one.kind) for one in told}, {
        _name(one.structure, one.kind) for one in scan.facts.lesions
    }


def _name(structure: str, kind: str) -> str:
    return f"{structure.removesuffix('_left').removesuffix('_right')} {kind}"


if __name__ == "__main__":
    main()
