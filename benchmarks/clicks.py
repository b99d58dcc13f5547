"""What makes clicks count: mean Dice after a box and after each of five clicks, with parts of the engine taken out.

    python benchmarks/clicks.py --model model/medvlsam2-nano --data DIR

Real scans of the train split, since this is where the engine's constants were chosen; clicks as in the evaluation. For
each way it prints the mean over the structures, and how often the fifth click left a mask worse by 0.1 than the box.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np
import torch

from medvlsam2.data.datasets.scans import labelled_scans, of_sources
from medvlsam2.evaluation.measures.interactive import NUM_CLICKS, measure_interactive, when
from medvlsam2.evaluation.scans import LabelledScan, read_scan
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.masks import corrected_masks

Curves = dict[tuple[str, str], list[float]]
WORSE: Final = 0.1


def main() -> None:
    """Run every way on the same scans and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--data", type=Path, required=True, help="real scans: ct/ and split.json")
    parser.add_argument("--scans", type=int, default=2, help="scans of each source")
    parser.add_argument("--sources", nargs="+", default=["OKBP", "TS", "STS"])
    parser.add_argument("--structures", type=int, default=7, help="structures of a scan, drawn where it has more")
    options = parser.parse_args()
    curves = partial(_curves, options)
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=partial(torch.set_num_threads, 1)) as pool:
        found = dict(zip(WAYS, pool.map(curves, WAYS), strict=True))
    print(f"{len(next(iter(found.values())))} structures")
    print("| way | box |", " | ".join(when(number) for number in range(1, NUM_CLICKS + 1)), "| worse than the box |")
    print("|---" * (NUM_CLICKS + 3) + "|")
    for way, scores in found.items():
        values = np.array(list(scores.values()))
        worse = int((values[:, -1] < values[:, 0] - WORSE).sum())
        print(f"| {way} |", " | ".join(f"{mean:.3f}" for mean in values.mean(axis=0)), f"| {worse} |")


def _curves(options: argparse.Namespace, way: str) -> Curves:
    engine = Engine(options.model)
    found: Curves = defaultdict(list)
    steps = [f"dice after {when(number)}" for number in range(NUM_CLICKS + 1)]
    with WAYS[way]():
        for record in of_sources(labelled_scans(options.data, with_pseudo_labels=True), options.sources, options.scans):
            for one in measure_interactive(engine, _some(read_scan(record), options.structures)):
                if one.metric in steps:
                    found[record.case_id, one.subject].append(one.value)
    return dict(found)


def _some(scan: LabelledScan, count: int) -> LabelledScan:
    keys = sorted(key for key, mask in scan.truth.items() if mask.any())
    drawn = [keys[number] for number in np.random.default_rng(0).permutation(len(keys))[:count].tolist()]
    return replace(scan, truth={key: scan.truth[key] for key in drawn})


@contextlib.contextmanager
def _nameless() -> Iterator[None]:
    with patch.object(VolumeSession, "structure_in_box", lambda *_: None):
        yield


@contextlib.contextmanager
def _all_prompts() -> Iterator[None]:
    with patch.object(corrected_masks, "mean_logits", lambda found, _: found.mask_logits), _nameless():
        yield


@contextlib.contextmanager
def _prompts_alone() -> Iterator[None]:
    with patch.object(corrected_masks, "heed_clicks", lambda *_, **__: None), _all_prompts():
        yield


@contextlib.contextmanager
def _box_alone() -> Iterator[None]:
    with patch.object(corrected_masks, "mean_logits", lambda _, alone: alone.mask_logits), _nameless():
        yield


WAYS: Final[dict[str, Callable[[], contextlib.AbstractContextManager[None]]]] = {
    "clicks prompt the decoder, and no more": _prompts_alone,
    "and masks are corrected where clicks contradict them": _all_prompts,
    "clicks correct the box's masks, and no more": _box_alone,
    "the mean of both": _nameless,
    "and the box is recognised (the engine)": contextlib.nullcontext,
}


if __name__ == "__main__":
    main()
