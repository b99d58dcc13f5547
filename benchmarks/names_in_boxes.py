"""Right and wrong names in boxes: what tells that a name does not mean what its box is drawn round.

    python benchmarks/names_in_boxes.py --data DIR --scans TS_abdo TS_dicom20 OKBP_002 STS_035 --phantoms 1

Prints a line for each box of a structure, pair, series or finding of known truth, and each name in it: the structure
that the box is taken to be drawn round, how far the answer with the name reaches through the box, its overlap (Dice)
with what the box alone gives, its Dice with the truth, and how sure the model was. Limits in
``medvlsam2/tasks/answers/agreement.py`` were chosen from such lines; the counts at the end say what they do. It takes
a quarter of an hour on a CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.language.findings.finding_keys import finding_key
from medvlsam2.data.overlap import dice
from medvlsam2.data.phantom import PhantomConfig
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, read_scan
from medvlsam2.model.device.precision import autocast
from medvlsam2.tasks.answers.agreement import MIN_OVERLAP, MIN_REACH, is_another, names_no_place, overlap, reach
from medvlsam2.tasks.answers.geometry import sureness
from medvlsam2.tasks.asking.find import find_all
from medvlsam2.tasks.asking.job import Job
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.masks.slice_prompts import place
from medvlsam2.tasks.phrases.wholes import held_by
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.voxel_box import BoxIJK

WHOLES = ("kidneys", "lungs", "ribs", "vertebrae")
OTHERS = ("kidneys", "lungs", "vertebrae", "ribs", "soft tissue sarcoma", "liver cyst", "liver", "left kidney")
FIRST_SEED = 730_100
MIN_VOXELS = 30
SURE = 0.19
"""Raw confidence from which an object counts as present (``present_from`` in the model's ``metadata.json``)."""


@dataclass(frozen=True)
class Line:
    """One name in one box."""

    scan: str
    key: str
    """What the box is drawn round."""
    name: str
    is_right: bool
    seen: str | None
    """What the box is taken to be drawn round."""
    reach: float
    overlap: float
    dice: float
    sureness: float

    def __str__(self) -> str:
        return (
            f"{self.scan:14} {self.key:22} {self.name:22} {'right' if self.is_right else 'wrong'} seen={self.seen} "
            f"reach={self.reach:.2f} overlap={self.overlap:.2f} dice={self.dice:.2f} sureness={self.sureness:.2f}"
        )

    @property
    def is_overruled(self) -> bool:
        """Whether the box wins over the name."""
        if self.seen is not None:
            return is_another(self.name, self.seen)
        return self.reach < MIN_REACH and self.overlap < MIN_OVERLAP


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
    records = {
        one.case_id: one
        for split in ("train", "val")
        for one in labelled_scans(options.data, split, with_pseudo_labels=True)
    }
    scans = [(name, read_scan(records[name])) for name in options.scans]
    for seed in range(FIRST_SEED, FIRST_SEED + options.phantoms):
        scans.append((f"phantom {seed}", draw_phantom(seed, PhantomConfig(max_voxels=250_000))))
    lines = []
    for name, scan in scans:
        for line in _measured(engine, name, scan):
            print(line, flush=True)
            lines.append(line)
    print("\n".join(counted(lines)))


def counted(lines: Sequence[Line]) -> list[str]:
    """How many right names lose to their box, and how many sure wrong ones do."""
    said = []
    for is_known, where in ((True, "a structure that the model knows"), (False, "none that it knows")):
        here = [line for line in lines if (line.seen is not None) == is_known]
        right = [line for line in here if line.is_right]
        lost = [line for line in right if line.is_overruled]
        wrong = [line for line in here if not line.is_right and line.sureness >= SURE]
        said.append(
            f"boxes taken to be round {where}: {len(lost)} of {len(right)} right names overruled (their Dice at most "
            f"{max((line.dice for line in lost), default=0):.2f}), {sum(line.is_overruled for line in wrong)} of "
            f"{len(wrong)} sure wrong ones"
        )
    return said


@torch.no_grad()
def _measured(engine: Engine, scan_name: str, scan: LabelledScan) -> Iterator[Line]:
    with engine.claims.claim(scan_name, ["names"]) as claim, autocast(torch.device(engine.device)):
        job, session = Job(engine, claim, lambda _: None, None), engine.session(scan.volume)
        for key, truth in _objects(scan):
            box = _box_round(truth)
            seen = session.structure_in_box(box, job.lease)
            names = _names(key)
            asked = [ObjectPrompt(None if seen is None else vocabulary.STRUCTURES[seen].name, box_ijk=box)]
            asked += [ObjectPrompt(name, box_ijk=box) for name in names]
            placed = [place(session.whole, prompt) for prompt in asked]
            alone, *named = find_all(session, placed, range(len(placed)), job)
            for name, found in zip(names, named, strict=True):
                held = (found.masks.mask_logits > 0).cpu().numpy()
                record = found.record
                there = record.resize_labels(record.orient(truth.astype(np.uint8)), held.shape[-1]) > 0
                yield Line(
                    scan_name,
                    key,
                    name,
                    is_right=not _is_wrong(name, key),
                    seen=seen,
                    reach=reach(found, box),
                    overlap=overlap(found, alone),
                    dice=dice(held, there),
                    sureness=sureness(found.masks),
                )


def _objects(scan: LabelledScan) -> Iterator[tuple[str, Mask]]:
    there = {key: mask for key, mask in scan.truth.items() if mask.sum() >= MIN_VOXELS}
    for whole in WHOLES:
        parts = [mask for key, mask in there.items() if key in held_by(whole)]
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
    whole = [vocabulary.STRUCTURES[one].name for one in WHOLES if key in held_by(one)]
    return [*own, *whole, *(name for name in OTHERS if _is_wrong(name, key))]


def _is_wrong(name: str, key: str) -> bool:
    known = vocabulary.find(name).key
    return known != key and (is_another(name, key) or names_no_place(name))


def _box_round(mask: Mask) -> BoxIJK:
    places = np.argwhere(mask)
    (i0, j0, k0), (i1, j1, k1) = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    return i0, i1, j0, j1, k0, k1


if __name__ == "__main__":
    main()
