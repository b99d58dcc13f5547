"""How often an answer by words is right, by how sure the model was of it: fits confidence and presence.

    python benchmarks/confidence.py --data DIR --observations runs/confidence.jsonl
    python benchmarks/confidence.py --observations runs/confidence.jsonl --fit

The first command asks for every structure and finding by its name, on phantoms that no one trained on (not those of
``benchmarks/findings.py``, and not the evaluation's own) and on OpenKBP scans of the train split, and writes a line per
answer; started again it goes on where it stopped. The second fits, separately for structures and findings: the raw
confidence from which on an object counts as present, so that as many answers as possible are right; and by
isotonic regression how often an answer of some raw confidence is right. Both go into the model's
``metadata.json``; ``medvlsam2 evaluate`` shows on other scans whether they hold.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS, finding_key
from medvlsam2.data.overlap import dice
from medvlsam2.data.phantom import PhantomConfig
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, read_scan
from medvlsam2.tasks.answers.confidence import RIGHT_DICE
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.phrases.wholes import held_by
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

FIRST_SEED = 730_000
FINDINGS = sorted(set(FINDING_KEYS.values()))
NEVER_IN_A_HEAD = ("kidney_left", "kidney_right", "urinary_bladder", "sacrum", "femur_left", "hip_right", "colon")
"""Structures that no OpenKBP scan of head and neck shows."""
MIN_VOXELS = 20
COARSE = PhantomConfig(max_voxels=400_000)
"""Phantoms of about the voxel size of OpenKBP's scans, so that many can be asked about on a CPU."""


def main() -> None:
    """Ask, or fit what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--observations", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with ct/ and split.json; phantoms alone without it")
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--fit", action="store_true", help="write what is fitted into the model's metadata.json")
    options = parser.parse_args()
    if options.fit:
        _write_fit(options)
        return
    torch.set_num_threads(1)
    engine = Engine(options.model, "cpu")
    engine.loaded().metadata.pop("confidence", None)  # raw values are wanted
    options.observations.parent.mkdir(parents=True, exist_ok=True)
    done = {line["scan"] for line in _lines(options.observations)}
    for name, load in _scans(options):
        if name not in done:
            asked = list(_observed(engine, name, load()))
            with options.observations.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in asked))
            print(f"{name}: {len(asked)} answers", flush=True)


def _scans(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    real = []
    if options.data is not None:
        records = [one for one in labelled_scans(options.data) if one.case_id.startswith("OKBP")]
        real = [
            (one.case_id, lambda one=one: read_scan(one)) for one in records[:: max(1, len(records) // options.scans)]
        ]
    drawn = [
        (f"phantom {n}", lambda n=n: draw_phantom(n, COARSE)) for n in range(FIRST_SEED, FIRST_SEED + options.phantoms)
    ]
    for number in range(max(len(real), len(drawn))):
        yield from (*drawn[number : number + 1], *real[: options.scans][number : number + 1])


def _observed(engine: Engine, name: str, scan: LabelledScan) -> Iterator[dict[str, Any]]:
    truth = _truth(engine.loaded().metadata, scan)
    structures = [key for key in truth if not vocabulary.STRUCTURES[key].is_finding]
    findings = [key for key in truth if vocabulary.STRUCTURES[key].is_finding]
    for keys in (structures, *([key] for key in findings)):
        if not keys:
            continue
        found = segment(engine, scan.volume, [ObjectPrompt(vocabulary.STRUCTURES[key].name) for key in keys])
        for key, item in zip(keys, found.objects, strict=True):
            mask, is_there = np.isin(found.label_map, item.values), bool(truth[key].any())
            yield {
                "scan": name,
                "key": key,
                "raw": round(item.sureness, 4),
                "there": is_there,
                "dice": round(dice(mask, truth[key]), 4) if is_there else 0.0,
            }


def _truth(metadata: Mapping[str, Any], scan: LabelledScan) -> dict[str, Mask]:
    """Masks of what is there, and empty ones of what certainly is not."""
    nothing = np.zeros(scan.volume.shape_ijk, dtype=bool)
    if scan.lesion_map is None or scan.facts is None:
        there = {key: mask for key, mask in scan.truth.items() if mask.sum() >= MIN_VOXELS}
        return {**there, **dict.fromkeys(NEVER_IN_A_HEAD, nothing)}
    masks: dict[str, Mask] = {}
    for key in metadata["structures"]:
        parts = [mask for part, mask in scan.truth.items() if part == key or part in held_by(key)]
        if key in scan.facts.absent or any(mask.sum() >= MIN_VOXELS for mask in parts):
            masks[key] = np.logical_or.reduce(parts) if parts else nothing
    for key in FINDINGS:
        labels = [lesion.label_value for lesion in scan.facts.lesions if finding_key(lesion) == key]
        masks[key] = np.isin(scan.lesion_map, labels)
    return masks


def _write_fit(options: argparse.Namespace) -> None:
    lines = _lines(options.observations)
    path = options.model / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    fit: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python benchmarks/confidence.py --observations FILE --fit",
        "scans": len({line["scan"] for line in lines}),
        "right": f"there with a Dice of at least {RIGHT_DICE}, or rightly told absent",
    }
    for kind in ("structure", "finding"):
        some = [line for line in lines if vocabulary.STRUCTURES[line["key"]].is_finding == (kind == "finding")]
        fit[kind] = fitted(some)
        print(kind, json.dumps(fit[kind]))
        print(f"{kind}: {counted(some, fit[kind]['present_from'])}")
    metadata["confidence"] = fit
    path.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def fitted(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Threshold of presence, and the lines from raw confidence to the share of right answers above and below it."""
    raw = np.array([line["raw"] for line in lines])
    there = np.array([line["there"] for line in lines])
    right = np.array([line["dice"] >= RIGHT_DICE for line in lines])
    threshold = _threshold(raw, there, right)
    told = raw >= threshold
    return {
        "answers": len(lines),
        "there": int(there.sum()),
        "present_from": round(threshold, 4),
        "present": _line(raw[told], right[told], increasing=True),
        "absent": _line(raw[~told], ~there[~told], increasing=False),
    }


def counted(lines: Sequence[Mapping[str, Any]], present_from: float) -> str:
    """How many answers are right at a threshold, and what it loses and lets through."""
    told = [line["raw"] >= present_from for line in lines]
    masks = [line["dice"] >= RIGHT_DICE for line in lines]
    right = sum(mask if say else not line["there"] for say, mask, line in zip(told, masks, lines, strict=True))
    kept = sum(mask and say for say, mask in zip(told, masks, strict=True))
    wrong = sum(say and not line["there"] for say, line in zip(told, lines, strict=True))
    return (
        f"{right} of {len(lines)} answers right, {kept} of {sum(masks)} right masks told as present, "
        f"{wrong} objects told as present that are not there"
    )


def _threshold(raw: np.ndarray, there: np.ndarray, right: np.ndarray) -> float:
    """Where most answers are right, midway to the next weaker answer; of several such places the lowest.

    "Present" is right with a right mask, "absent" where the object is not there.
    """
    places = np.unique(raw[raw > 0])
    if not len(places):
        return 1.0
    counts = [int((right & (raw >= place)).sum() + (~there & (raw < place)).sum()) for place in (*places, np.inf)]
    best = int(np.argmax(counts))
    if best == len(places):
        return 1.0
    weaker = raw[raw < places[best]]
    return float(places[best] + weaker.max()) / 2 if len(weaker) else float(places[best])


def _line(raw: np.ndarray, right: np.ndarray, *, increasing: bool) -> list[list[float]]:
    """Knots of the isotonic line; a pseudo answer of each kind in each level keeps few answers from certainty."""
    if not len(raw):
        return [[0.0, 0.5], [1.0, 0.5]]
    order = np.argsort(raw, kind="stable")
    levels = isotonic_regression(right[order].astype(float), increasing=increasing).x
    knots: list[list[float]] = []
    for level in dict.fromkeys(levels.tolist()):
        held = order[levels == level]
        share = (right[held].sum() + 1) / (len(held) + 2)
        knots += [[round(float(end), 4), round(float(share), 4)] for end in (raw[held].min(), raw[held].max())]
    smooth = np.maximum.accumulate if increasing else np.minimum.accumulate
    shares = smooth([share for _, share in knots])
    return [[at, round(float(share), 4)] for (at, _), share in zip(knots, shares, strict=True)]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
