"""Referring segmentation: phrases for what is there, and for what is certainly not there.

gIoU is the mean over phrases of the IoU of each; a phrase for something absent scores 1 if nothing was found, else 0.
A phrase that is refused as not understood scores 0 either way. Every phrase is a request of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from medvlsam2.data.language.phrases import ReferringPhrase, phrases
from medvlsam2.data.overlap import iou
from medvlsam2.errors import InvalidPrompt, UnknownStructure
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures.words import MIN_VOXELS
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

TASK: Final = "referring"
PHRASES_EACH: Final = 3
"""Phrases for each scan: so many for objects in the scan, and so many for absent ones."""
SEED: Final = 7
ABSENT: Final = "not present"


def measure_referring(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """IoU of phrases for what is there, accuracy on phrases for what is not."""
    for phrase, truth in drawn_phrases(scan):
        found = _find(engine, scan, phrase.phrase)
        score = 0.0 if found is None else iou(found, truth)
        subject = _subject(phrase)
        yield Measurement(TASK, scan.group, subject, "giou", scan.patient, score)
        yield Measurement(TASK, scan.group, subject, "refused", scan.patient, float(found is None))
        metric = "found something" if phrase.present else "not-present accuracy"
        right = found is not None and bool(found.any()) == phrase.present
        yield Measurement(TASK, scan.group, subject, metric, scan.patient, float(right))


def drawn_phrases(scan: LabelledScan) -> list[tuple[ReferringPhrase, Mask]]:
    """Phrases about one scan with their masks, the same ones every time."""
    if scan.facts is None:
        return []
    drawn = [(each, _truth(scan, each)) for each in phrases(scan.facts, np.random.default_rng(SEED))]
    there = [(each, mask) for each, mask in drawn if each.present and mask.sum() >= MIN_VOXELS]
    return [*there[:PHRASES_EACH], *[item for item in drawn if not item[0].present][:PHRASES_EACH]]


def _truth(scan: LabelledScan, phrase: ReferringPhrase) -> Mask:
    mask = np.zeros(scan.volume.shape_ijk, dtype=bool)
    for key in phrase.structure_keys:
        mask |= scan.truth.get(key, False)
    if phrase.lesion_labels and scan.lesion_map is not None:
        mask |= np.isin(scan.lesion_map, phrase.lesion_labels)
    return mask


def _find(engine: Engine, scan: LabelledScan, phrase: str) -> Mask | None:
    """The mask of a phrase; None where the model refuses the phrase."""
    try:
        mask: Mask = segment(engine, scan.volume, [ObjectPrompt(phrase)]).label_map == 1
    except (InvalidPrompt, UnknownStructure):
        return None
    return mask


def _subject(phrase: ReferringPhrase) -> str:
    if not phrase.present:
        return ABSENT
    return "finding" if phrase.lesion_labels else "structure"
