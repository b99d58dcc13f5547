"""Right and wrong names in boxes: what tells that a name does not mean what its box is drawn round.

    python benchmarks/names_in_boxes.py --data DIR --scans TS_abdo TS_dicom20 OKBP_002 STS_035 --phantoms 1

Prints a line for each box of a structure, pair, series or finding of known truth, and each name in it: the structure
that the box is taken to be drawn round, how far the answer with the name reaches through the box, its overlap (Dice)
with what the box alone gives, its Dice with the truth, and how sure the model was. Limits in
``medvlsam2/tasks/answers/agreement.py`` were chosen from these lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from medvlsam2.data import vocabulary
from medvlsam2.data.language.findings.finding_keys import finding_key
from medvlsam2.data.phantom import PhantomConfig
from medvlsam2.evaluation.metrics import Mask, dice
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, list_scans, read_scan
from medvlsam2.model.device.precision import autocast
from medvlsam2.tasks.answers.agreement import is_another, names_no_place, overlap, reach
from medvlsam2.tasks.answers.geometry import sureness
from medvlsam2.tasks.asking.find import find_all
from medvlsam2.tasks.asking.job import Job
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.phrases.wholes import parts_of
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.transforms.spatial import BoxIJK

WHOLES = ("kidneys", "lungs", "ribs", "vertebrae")
OTHERS = ("kidneys", "lungs", "vertebrae", "ribs", "soft tissue sarcoma", "liver cyst", "liver", "left kidney")
FIRST_SEED = 730_100
MIN_VOXELS = 30


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/ and split.json")
    parser.add_argument("--scans", nargs="*", default=["TS_abdo"])
    parser.add_argument("--phantoms", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine(options.model, "cpu")
    records = {one.case_id: one for split in ("train", "val") for one in list_scans(options.data, split)}
    for name in options.scans:
        _measure(engine, name, read_scan(records[name]))
    for seed in range(FIRST_SEED, FIRST_SEED + options.phantoms):
        _measure(engine, f"phantom {seed}", draw_phantom(seed, PhantomConfig(max_voxels=250_000)))


@torch.no_grad()
def _measure(engine: Engine, scan_name: str, scan: LabelledScan) -> None:
    with engine.claims.claim(scan_name, ["names"]) as claim, autocast(torch.device(engine.device)):
        job, session = Job(engine, claim, lambda _: None, None), engine.session(scan.volume)
        for key, truth in _objects(scan):
            box = _box_round(truth)
            seen = session.structure_in_box(box, job.turn)
            names = _names(key)
            asked = [ObjectPrompt(None if seen is None else vocabulary.STRUCTURES[seen].name, box_ijk=box)]
            alone, *named = find_all(
                session, [*asked, *(ObjectPrompt(name, box_ijk=box) for name in names)], range(len(names) + 1), job
            )
            for name, found in zip(names, named, strict=True):
                held = (found.masks.mask_logits > 0).cpu().numpy()
                record = found.record
                there = record.resize_labels(record.orient(truth.astype(np.uint8)), held.shape[-1]) > 0
                print(
                    f"{scan_name:14} {key:22} {name:22} {'right' if not _is_wrong(name, key) else 'wrong'} "
                    f"seen={seen} reach={reach(found, box):.2f} overlap={overlap(found, alone):.2f} "
                    f"dice={dice(held, there):.2f} sureness={sureness(found.masks):.2f}",
                    flush=True,
                )


def _objects(scan: LabelledScan) -> Iterator[tuple[str, Mask]]:
    there = {key: mask for key, mask in scan.truth.items() if mask.sum() >= MIN_VOXELS}
    for whole in WHOLES:
        parts = [mask for key, mask in there.items() if key in parts_of(whole)]
        if len(parts) > 1:
            there.setdefault(whole, np.logical_or.reduce(parts))
    if scan.lesion_map is not None and scan.facts is not None:
        for lesion in scan.facts.lesions:
            key = finding_key(lesion)
            if key is not None:
                there[key] = scan.lesion_map == lesion.label_value
    yield from there.items()


def _names(key: str) -> list[str]:
    own = [vocabulary.STRUCTURES[key].name] if not key.startswith(("rib_", "vertebrae_")) else []
    whole = [vocabulary.STRUCTURES[one].name for one in WHOLES if key in parts_of(one)]
    return [*own, *whole, *(name for name in OTHERS if _is_wrong(name, key))]


def _is_wrong(name: str, key: str) -> bool:
    return is_another(name, key) or (names_no_place(name) and vocabulary.find(name).key != key)


def _box_round(mask: Mask) -> BoxIJK:
    places = np.argwhere(mask)
    (i0, j0, k0), (i1, j1, k1) = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    return i0, i1, j0, j1, k0, k1


if __name__ == "__main__":
    main()
