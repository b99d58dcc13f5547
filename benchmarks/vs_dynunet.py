"""Baseline: MONAI's DynUNet (nnU-Net's architecture) trained from scratch, beside MedVL-SAM2 asked by words alone.

    python benchmarks/vs_dynunet.py --data DIR --run runs/dynunet --minutes 60 --device cpu --threads 2 \
        --model model/medvlsam2-nano -o vs_dynunet.json

Train: the head-and-neck (OKBP) and abdominal (TS) scans of the train split. Measured: those of val, Dice and NSD at
2 mm on each scan's own grid, the same structures of the same cases for both models: those that the baseline was trained
for and the case has contours of. Both are told which these are, and give a voxel to the likeliest of them. Dice of one
case is noise: the intervals are by bootstrap over patients, and a set with one patient has none.

What the baseline gets from nnU-Net's recipe: resampling to a common spacing, windowing by the foreground's percentiles,
strides and kernels by spacing and patch, instance norm, leaky ReLU, patches of which a third is centred on a structure,
its augmentation (no mirroring: left is not right), Dice plus cross-entropy, two patches a step, windows that overlap by
half, gaussian weights. What differs, for minutes instead of days: AdamW with a cosine over the minutes, a network that
is narrow at full resolution on a CPU, no deep supervision, no ensemble.

Labels are partial, so each structure has a sigmoid of its own and a patch trains only those that its scan has contours
of. One network learns both sets: half of the minutes each would spend 30 of 60 on the one abdominal patient, while
here 3 of 4 patches are head and neck, the set with the most patients. Minutes are those of training, without the
preparation of scans, as for the other model. A run goes on from its folder; a finished one is only measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynunet import Baseline, predict, train
from dynunet_data import prepare_scan, split_cases
from side_by_side import table

from medvlsam2.data.language import anatomy
from medvlsam2.data.overlap import dice
from medvlsam2.evaluation.measurement import Measurement, rows
from medvlsam2.evaluation.measures.words import find_by_name, large_enough
from medvlsam2.evaluation.metrics import Mask, surface_dice
from medvlsam2.evaluation.scans import LabelledScan, read_scan
from medvlsam2.geometry import spacing_mm
from medvlsam2.tasks.engine.engine import Engine

BASELINE = "DynUNet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and print."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    baseline = train(
        {
            name: [prepare_scan(read_scan(case)) for case in cases]
            for name, cases in split_cases(options.data, "train").items()
        },
        minutes=options.minutes,
        device=torch.device(options.device),
        run=options.run,
        report=lambda line: print(line, flush=True),
    )
    engine = None if options.model is None else Engine(options.model, options.device)
    measurements = [
        measurement
        for cases in split_cases(options.data, "val").values()
        for case in cases
        for measurement in measure(baseline, engine, read_scan(case))
    ]
    run, found = _run(options, baseline, engine), rows(measurements)
    minutes = ", ".join(f"{name} {value:g}" for name, value in run["minutes"].items())
    print(f"{run['device']}; minutes of training: {minutes}")
    if run.get("began_with"):
        print(f"The model began with '{run['began_with']}', whose minutes come on top.")
    print()
    print(table(found, list(run["minutes"])))
    if options.output is not None:
        record = {"run": run, "rows": [asdict(row) for row in found]}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/ and split.json")
    parser.add_argument("--run", type=Path, default=Path("runs/dynunet"), help="checkpoint and log; it resumes there")
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of training")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="threads of the CPU")
    parser.add_argument("--model", type=Path, help="model folder to measure beside it")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    return parser


def measure(baseline: Baseline, engine: Engine | None, scan: LabelledScan) -> Iterator[Measurement]:
    """Dice and NSD of both models for the structures of a scan that the baseline knows."""
    known = {key: mask for key, mask in large_enough(scan.truth).items() if key in baseline.structures}
    visible = [key for key, mask in scan.truth.items() if mask.any()]
    wholes = {key: mask for key, mask in scan.wholes.items() if {*_parts(key, visible)} <= {*known}}
    if not known:
        return
    found = {BASELINE: _find(baseline, scan, list(known), list(wholes))}
    if engine is not None:
        found[engine.model_id] = find_by_name(engine, scan, list(known))
        if wholes:
            found[engine.model_id] |= find_by_name(engine, scan, list(wholes))
    for name, masks in found.items():
        for key, truth in (known | wholes).items():
            scores = {
                "dice": dice(masks[key], truth),
                "nsd": surface_dice(masks[key], truth, spacing_mm(scan.volume.affine)),
            }
            for metric, value in scores.items():
                yield Measurement(name, scan.group, key, metric, scan.patient, value)


def _find(baseline: Baseline, scan: LabelledScan, keys: list[str], wholes: list[str]) -> dict[str, Mask]:
    """Masks of the baseline; a whole is the union of its parts."""
    label_map = predict(baseline, scan.volume, keys)
    found: dict[str, Mask] = {key: label_map == number for number, key in enumerate(keys, start=1)}
    unions = {whole: np.logical_or.reduce([found[part] for part in _parts(whole, keys)]) for whole in wholes}
    return found | unions


def _parts(whole: str, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if key in anatomy.leaves(whole)]


def _run(options: argparse.Namespace, baseline: Baseline, engine: Engine | None) -> dict[str, Any]:
    """What was run on what."""
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"cpu, {options.threads} threads"
    record: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": device,
        "minutes": {BASELINE: round(baseline.seconds / 60, 2)},
        "steps": baseline.step,
        "patches": baseline.step * baseline.sizes.patches_per_step,
        "sizes": asdict(baseline.sizes),
        "structures": baseline.structures,
    }
    if engine is not None:
        training = engine.loaded().metadata.get("training", {})
        record["minutes"][engine.model_id] = sum(training.get("config", {}).get("minutes", ()))
        record["version"] = engine.version
        record["began_with"] = training.get("initial", {}).get("model")
    return record


if __name__ == "__main__":
    main()
