"""Segmentation by words alone: every contoured structure asked for by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.overlap import dice
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.metrics import Mask, surface_dice
from medvlsam2.evaluation.scans import PHANTOM_GROUP, LabelledScan
from medvlsam2.geometry import spacing_mm
from medvlsam2.tasks.answers.confidence import RIGHT_DICE
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

TASK: Final = "segment"
RELIABILITY: Final = "reliability"
"""Task of the rows about confidence: answers with a confidence of 0.8 should be right eight times in ten."""
BINS: Final = 10
"""Rows of the reliability table."""
PHANTOM_STRUCTURES: Final = (
    *("liver", "spleen", "kidney_left", "kidney_right", "pancreas", "stomach", "aorta", "heart", "lung_left"),
    *("lung_right", "urinary_bladder", "mandible", "brainstem", "parotid_gland_left", "parotid_gland_right"),
)
"""The structures of a phantom that are measured; a phantom has many more, which nobody draws by hand."""
MIN_VOXELS: Final = 50
"""A smaller structure is a sliver at the edge of the scan: it is counted, but not measured."""


def measure_words(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Dice, NSD at 2 mm and swaps of sides of every contoured structure, and of unions such as all vertebrae."""
    for truth in _asked(scan):
        measured = large_enough(truth)
        for key in truth:
            if key not in measured:
                yield _measurement(scan, key, "too small" if truth[key].any() else "empty truth", 1.0)
        yield from _dice_of_each(engine, scan, measured)


def large_enough(truth: Mapping[str, Mask]) -> dict[str, Mask]:
    """Structures that are more than a sliver."""
    return {key: mask for key, mask in truth.items() if mask.sum() >= MIN_VOXELS}


def find_by_name(engine: Engine, scan: LabelledScan, keys: list[str]) -> dict[str, Mask]:
    """Masks of structures asked for by name in one request, as an annotator asks for a list."""
    return {key: mask for key, (mask, _) in _answers(engine, scan, keys).items()}


def _answers(engine: Engine, scan: LabelledScan, keys: list[str]) -> dict[str, tuple[Mask, ObjectResult]]:
    """Mask and result of each structure."""
    found = segment(engine, scan.volume, [ObjectPrompt(vocabulary.STRUCTURES[key].name) for key in keys])
    told = zip(keys, found.objects, strict=True)
    return {key: (np.isin(found.label_map, item.values), item) for key, item in told}


def _reliability(scan: LabelledScan, told: ObjectResult, mask: Mask, truth: Mask) -> Iterator[Measurement]:
    """Measurements for the reliability table: the confidence of an answer, and whether the answer was right."""
    low = min(int(told.confidence * BINS), BINS - 1) / BINS
    subject = f"confidence {low:.1f} to {low + 1 / BINS:.1f}"
    right = told.present and dice(mask, truth) >= RIGHT_DICE
    yield Measurement(RELIABILITY, scan.group, subject, "told", scan.patient, told.confidence)
    yield Measurement(RELIABILITY, scan.group, subject, "was right", scan.patient, float(right))


def _asked(scan: LabelledScan) -> tuple[Mapping[str, Mask], ...]:
    """One set of structures for each request: the contoured ones, then unions of them, which overlap their parts."""
    if scan.group == PHANTOM_GROUP:
        return ({key: mask for key, mask in scan.truth.items() if key in PHANTOM_STRUCTURES},)
    return scan.truth, scan.wholes


def _dice_of_each(engine: Engine, scan: LabelledScan, truth: Mapping[str, Mask]) -> Iterator[Measurement]:
    if not truth:
        return
    spacing = spacing_mm(scan.volume.affine)
    for key, (mask, told) in _answers(engine, scan, list(truth)).items():
        yield from _reliability(scan, told, mask, truth[key])
        yield _measurement(scan, key, "dice", dice(mask, truth[key]))
        yield _measurement(scan, key, "nsd", surface_dice(mask, truth[key], spacing))
        opposite = scan.truth.get(vocabulary.mirror(key))
        if vocabulary.mirror(key) != key and opposite is not None:
            swapped = (mask & opposite).sum() > (mask & truth[key]).sum()
            yield _measurement(scan, key, "swapped sides", float(swapped))


def _measurement(scan: LabelledScan, key: str, metric: str, value: float) -> Measurement:
    return Measurement(TASK, scan.group, key, metric, scan.patient, value)
