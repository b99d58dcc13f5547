"""Quality of a model folder in figures: the numbers of its card come from here.

    python benchmarks/quality.py --model model/medvlsam2-nano --data DIR -o quality.json

Dice is computed on each scan's own grid. Words: the structure's name alone. Click: one click at the point deepest
inside the structure, without words. Questions: multiple choice about phantoms that were not trained on. Prints one JSON
object with n and the mean of each row, the device and the date. This is a first look; it has no intervals.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.language.questions import questions
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.converse import answer
from medvlsam2.tasks.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.training.validate import dice

FIRST_PHANTOM_SEED = 500_000
ABDOMEN = ("liver", "spleen", "kidney_left", "kidney_right", "aorta", "stomach", "vertebrae_T12", "pancreas")
PHANTOM_STRUCTURES = ("liver", "spleen", "kidney_left", "kidney_right", "aorta", "lung_left", "lung_right", "heart")
MIN_VOXELS = 200
QUESTIONS_PER_PHANTOM = 8

Rows = dict[str, list[float]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--data", type=Path, help="folder with ct/ and split.json; without it, phantoms alone")
    parser.add_argument("--head-and-neck", type=int, default=18, help="scans of the head-and-neck set to measure")
    parser.add_argument("--phantoms", type=int, default=6, help="phantoms to measure; none of them was trained on")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    engine = Engine(options.model)
    rows: Rows = defaultdict(list)
    if options.data is not None:
        _measure_scans(engine, options.data, options.head_and_neck, rows)
    _measure_phantoms(engine, options.phantoms, rows)
    result = {
        "model": engine.model_id,
        "version": engine.version,
        "device": f"{engine.device}, {torch.get_num_threads()} threads",
        "date": datetime.now(UTC).date().isoformat(),
        "rows": {name: {"n": len(v), "mean": round(float(np.mean(v)), 3)} for name, v in sorted(rows.items())},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


def _measure_scans(engine: Engine, data: Path, head_and_neck: int, rows: Rows) -> None:
    validation = json.loads((data / "split.json").read_text(encoding="utf-8"))["val"]
    chosen = [case for case in validation if case.startswith("OKBP_")][:head_and_neck]
    for case in chosen:
        _measure_scan(engine, data / "ct" / case, None, "head and neck (val)", rows)
    _measure_scan(engine, data / "ct" / "TS_dicom20", ABDOMEN, "abdominal slab (val)", rows)
    _measure_scan(engine, data / "ct" / "TS_abdo", ABDOMEN, "abdomen (TRAINED ON)", rows)


def _measure_scan(engine: Engine, folder: Path, wanted: tuple[str, ...] | None, group: str, rows: Rows) -> None:
    volume = read_volume(folder / "image.nii.gz", image_id=folder.name)
    values = read_label_map(folder / "label.nii.gz").values
    names = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["labels"]
    found = {int(value): vocabulary.lookup(name) for value, name in names.items()}
    truth = {
        structure.key: values == value
        for value, structure in found.items()
        if structure is not None and (wanted is None or structure.key in wanted)
    }
    _measure_masks(engine, volume, truth, group, rows)


def _measure_phantoms(engine: Engine, count: int, rows: Rows) -> None:
    for seed in range(FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + count):
        drawn = phantom.generate(seed)
        truth = {key: drawn.label_map == value for value, key in drawn.labels.items() if key in PHANTOM_STRUCTURES}
        _measure_masks(engine, drawn.volume, truth, "phantom", rows)
        rng = np.random.default_rng(seed)
        asked = [item for item in questions(drawn.facts, rng) if item.kind == "multiple_choice"]
        for item in asked[:QUESTIONS_PER_PHANTOM]:
            given = answer(engine, drawn.volume, item.question, item.choices)
            rows["phantom | multiple choice, accuracy"].append(float(given.text == item.answer))


def _measure_masks(engine: Engine, volume: CTVolume, truth: dict[str, np.ndarray], group: str, rows: Rows) -> None:
    present = {key: mask for key, mask in truth.items() if int(mask.sum()) >= MIN_VOXELS}
    if not present:
        return
    named = segment(engine, volume, [ObjectPrompt(vocabulary.STRUCTURES[key].name) for key in present])
    for number, (key, mask) in enumerate(present.items(), start=1):
        rows[f"{group} | words | {key}"].append(dice(named.label_map == number, mask))
        rows[f"{group} | words | all"].append(dice(named.label_map == number, mask))
        deepest = np.unravel_index(int(distance_transform_edt(mask).argmax()), mask.shape)
        click = ObjectPrompt(points_ijk=((float(deepest[0]), float(deepest[1]), float(deepest[2])),), point_labels=(1,))
        rows[f"{group} | one click | all"].append(dice(segment(engine, volume, [click]).label_map == 1, mask))


if __name__ == "__main__":
    main()
