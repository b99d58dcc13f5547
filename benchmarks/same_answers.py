"""Whether a change of the code changes what the model answers: records a fixed set of requests, and compares records.

    python benchmarks/same_answers.py record --data DIR -o runs/before
    python benchmarks/same_answers.py compare runs/before runs/after

``record`` asks about two phantoms, TS_abdo and two OpenKBP scans of the val split: every structure by its name,
names of wholes, phrases, clicks, boxes, a report and questions. A record is ``answers.json`` and the label maps as
``.npz``. Dice against the truth is recorded as well. ``compare`` prints every request that differs, with the number of
voxels, and ends with exit code 1 if there is one. Masks are equal bit for bit on one machine with one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy import ndimage

from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.overlap import dice
from medvlsam2.evaluation.measures.questions import drawn_questions
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, read_scan
from medvlsam2.tasks import converse
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import Segmentation, segment

ANSWERS: Final = "answers.json"
PHANTOM_SEEDS: Final = (740_000, 740_001)
"""Phantoms that no training, evaluation or other script draws."""
REAL_SCANS: Final = (("train", "TS_abdo"), ("val", "OKBP_201"), ("val", "OKBP_207"))
POINTED_AT: Final = 6
"""The largest structures of a scan are clicked and boxed; six of them take half a minute a scan."""
MIN_VOXELS: Final = 200
"""Smaller structures are not clicked: their deepest voxel may lie on an edge."""
PHRASES: Final = ("kidneys", "lungs", "vertebrae", "the cyst in the left kidney", "the largest lesion")
QUESTIONS: Final = 8

Requests = dict[str, list[ObjectPrompt]]


def main() -> int:
    """Record, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recorder = verbs.add_parser("record")
    recorder.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    recorder.add_argument("--data", type=Path, help="folder with ct/ and split.json; phantoms alone without it")
    recorder.add_argument("-o", "--output", type=Path, required=True)
    comparer = verbs.add_parser("compare")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.verb == "compare":
        return compare(options.before, options.after)
    record(options.model, options.data, options.output)
    return 0


def record(model: Path, data: Path | None, output: Path) -> None:
    """Ask everything and write the record."""
    torch.set_num_threads(1)  # more threads add in another order
    engine = Engine(model, "cpu")
    output.mkdir(parents=True, exist_ok=True)
    answers: dict[str, dict[str, Any]] = {}
    for name, scan in scans(data):
        answers[name] = {}
        maps = {}
        for request, prompts in requests(scan, engine.loaded().metadata["structures"]).items():
            found = segment(engine, scan.volume, prompts)
            answers[name][request] = _told(found, scan.truth)
            maps[request] = found.label_map
        answers[name]["report"] = converse.report(engine, scan.volume).text
        for asked in drawn_questions(scan)[:QUESTIONS]:
            answers[name][asked.question] = converse.answer(
                engine, scan.volume, asked.question, asked.choices, asked.kind
            ).text
        np.savez_compressed(output / f"{name}.npz", **maps)
        print(f"{name}: {len(answers[name])} requests, mean Dice by name {_mean_dice(answers[name]):.4f}", flush=True)
    (output / ANSWERS).write_text(json.dumps(answers, indent=1), encoding="utf-8")


def scans(data: Path | None) -> Iterator[tuple[str, LabelledScan]]:
    """Names and scans, the same ones every time."""
    for seed in PHANTOM_SEEDS:
        yield f"phantom_{seed}", draw_phantom(seed)
    if data is None:
        return
    for split, case_id in REAL_SCANS:
        yield case_id, read_scan(next(one for one in labelled_scans(data, split) if one.case_id == case_id))


def requests(scan: LabelledScan, learnt: Collection[str]) -> Requests:
    """What is asked about one scan: label of the request and its prompts. Names are those that the model has learnt."""
    names = [vocabulary.STRUCTURES[key].name for key in sorted(scan.truth) if key in learnt]
    asked: Requests = {"all by name": [ObjectPrompt(name) for name in names]}
    asked |= {phrase: [ObjectPrompt(phrase)] for phrase in PHRASES}
    largest = sorted(scan.truth, key=lambda key: (-int(scan.truth[key].sum()), key))[:POINTED_AT]
    for key in largest:
        mask = scan.truth[key]
        if int(mask.sum()) < MIN_VOXELS:
            continue
        name = vocabulary.STRUCTURES[key].name
        inside, beside = _inside(mask), _beside(mask)
        asked[f"click on {key}"] = [ObjectPrompt(points_ijk=(inside,), point_labels=(1,))]
        asked[f"click on {key}, named"] = [ObjectPrompt(name, points_ijk=(inside,), point_labels=(1,))]
        asked[f"clicks on and beside {key}"] = [ObjectPrompt(points_ijk=(inside, beside), point_labels=(1, 0))]
        asked[f"box round {key}"] = [ObjectPrompt(box_ijk=_box(mask))]
    return asked


def compare(before: Path, after: Path) -> int:
    """Print what differs; 1 if anything does."""
    old, new = (json.loads((folder / ANSWERS).read_text(encoding="utf-8")) for folder in (before, after))
    counted = different = 0
    for name in sorted({*old, *new}):
        maps = [
            dict(np.load(folder / f"{name}.npz")) for folder in (before, after) if (folder / f"{name}.npz").exists()
        ]
        for request in {**old.get(name, {}), **new.get(name, {})}:
            counted += 1
            was, now = old.get(name, {}).get(request), new.get(name, {}).get(request)
            voxels = _different_voxels(maps, request)
            if was != now or voxels:
                different += 1
                print(f"{name}, {request}: {_difference(was, now, voxels)}")
        if name in old and name in new:
            print(f"{name}: mean Dice by name {_mean_dice(old[name]):.4f} -> {_mean_dice(new[name]):.4f}")
    print(f"{counted - different} of {counted} requests have the same answer")
    return int(different > 0)


def _told(found: Segmentation, truth: Mapping[str, Mask]) -> dict[str, Any]:
    """What is compared of an answer, apart from its label map."""
    by_name = {vocabulary.STRUCTURES[key].name: mask for key, mask in truth.items()}
    return {
        "objects": [
            {
                "name": each.name,
                "present": each.present,
                "confidence": round(each.confidence, 4),
                "volume_ml": round(each.volume_ml, 3),
                "dice": (
                    round(dice(np.isin(found.label_map, each.values or (n,)), by_name[each.name]), 4)
                    if each.name in by_name
                    else None
                ),
            }
            for n, each in enumerate(found.objects, start=1)
        ],
        "warnings": list(found.warnings),
    }


def _mean_dice(answers: Mapping[str, Any]) -> float:
    values = [each["dice"] for each in answers["all by name"]["objects"] if each["dice"] is not None]
    return float(np.mean(values)) if values else float("nan")


def _different_voxels(maps: list[dict[str, np.ndarray]], request: str) -> int:
    if len(maps) < 2 or not all(request in each for each in maps):
        return 0
    return int(np.count_nonzero(maps[0][request] != maps[1][request]))


def _difference(was: Any, now: Any, voxels: int) -> str:
    if was is None or now is None:
        return "asked in one of the records alone"
    if isinstance(was, str):
        return f"{was!r} -> {now!r}"
    parts = [f"{key} {was[key]} -> {now[key]}" for key in was if was[key] != now[key]]
    return "; ".join([f"{voxels} voxels", *parts])


def _inside(mask: Mask) -> tuple[float, float, float]:
    """The voxel that is deepest in a structure."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    i, j, k = np.unravel_index(int(depth.argmax()), mask.shape)
    return float(i), float(j), float(k)


def _beside(mask: Mask) -> tuple[float, float, float]:
    """A corner of the structure's box on the slice of its deepest voxel: outside of the structure, or at its edge."""
    corner = np.argwhere(mask).max(axis=0)
    return float(corner[0]), float(corner[1]), _inside(mask)[2]


def _box(mask: Mask) -> tuple[int, int, int, int, int, int]:
    """The half-open box of a structure."""
    (i0, i1), (j0, j1), (k0, k1) = ((int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))
    return i0, i1, j0, j1, k0, k1


if __name__ == "__main__":
    sys.exit(main())
