"""What nearer views, coronal views and the scan's own edges are worth: mean Dice by words on real training scans.

    python benchmarks/views.py --model model/medvlsam2-nano --data DIR

Real scans of the train split, since this is where the engine's constants were chosen. If a scan has many structures,
some of them are drawn at random. The bootstrap is over scans.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np
import torch
from side_by_side import table

from medvlsam2.data.datasets.scans import labelled_scans, of_sources
from medvlsam2.data.overlap import dice
from medvlsam2.evaluation.measurement import Measurement, rows
from medvlsam2.evaluation.measures.words import find_by_name, large_enough
from medvlsam2.evaluation.scans import read_scan
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.masks import parts
from medvlsam2.transforms import guided

WAYS: Final = ("whole slices", "and nearer", "and edges", "and coronal")
"""Each with all that stands before it."""


def main() -> None:
    """Run every way on the same scans and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--data", type=Path, required=True, help="real scans: ct/ and split.json")
    parser.add_argument("--scans", type=int, default=6, help="scans of each source")
    parser.add_argument("--sources", nargs="+", default=["OKBP", "TS"])
    parser.add_argument("--structures", type=int, default=10, help="structures of a scan, drawn where it has more")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=partial(torch.set_num_threads, 1)) as pool:
        found = [one for part in pool.map(partial(_measure, options), options.ways) for one in part]
    print(table(rows(found), options.ways))


def _measure(options: argparse.Namespace, way: str) -> list[Measurement]:
    engine = Engine(options.model, uses_coronal_views=way == "and coronal")
    found = []
    left_out = WAYS[WAYS.index(way) + 1 :]
    with _without(left_out):
        for record in of_sources(labelled_scans(options.data, with_pseudo_labels=True), options.sources, options.scans):
            scan = read_scan(record)
            keys = sorted(large_enough(scan.truth))
            order = np.random.default_rng(0).permutation(len(keys))[: options.structures]
            drawn = [keys[number] for number in order.tolist()]
            for key, mask in (find_by_name(engine, scan, drawn) if drawn else {}).items():
                found.append(Measurement(way, scan.group, key, "dice", scan.patient, dice(mask, scan.truth[key])))
    return found


@contextlib.contextmanager
def _without(ways: tuple[str, ...]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if "and nearer" in ways:
            stack.enter_context(patch.object(parts, "SMALL_PX", 0))
        if "and edges" in ways:
            stack.enter_context(patch.object(guided, "MOST", 0.0))
        yield


if __name__ == "__main__":
    main()
