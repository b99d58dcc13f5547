"""The hand-written phrases: the right object given the true masks, or the right refusal.

The engine's model and rules read a phrase as an object expression; the expression is composed on true masks, so that
only the reading is in question. It is right if the object is that of the right expression (IoU of at least 0.99).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.overlap import iou
from medvlsam2.data.query.linking import linked_names
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.reading import read_object
from medvlsam2.errors import InvalidPrompt, MedVLSAM2Error
from medvlsam2.evaluation.hand_written.reading import HandWrittenPhrase, hand_written_phrases
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.truth.given import true_facts
from medvlsam2.tasks.composing.model_writer import ModelWriter
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.objects.find import find_object
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.reading.read import read_phrase

TASK: Final = "handwritten"
GROUP: Final = "phrases"
SAME_IOU: Final = 0.99
"""Two ways to compose one object may differ by a few voxels at an edge."""


@dataclass(frozen=True)
class MarkedPhrase:
    """One phrase with what became of it."""

    line: HandWrittenPhrase
    expression: str
    """That the phrase was read as; empty if it was not understood."""
    is_right: bool
    is_exact: bool


def measure_hand_phrases(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Right objects and exactly right expressions by kind of phrase; nothing where no phrase asks about the scan."""
    for marked in mark_phrases(engine, scan):
        values = {"right object": marked.is_right}
        if marked.line.object is not None:
            values["exact expression"] = marked.is_exact
        if marked.line.hard:
            values["right object, hard ones"] = marked.is_right
        for metric, value in values.items():
            yield Measurement(TASK, GROUP, marked.line.kind, metric, scan.patient, float(value))


def mark_phrases(engine: Engine, scan: LabelledScan) -> list[MarkedPhrase]:
    """Read all phrases about one scan, and mark the objects that they mean."""
    facts = true_facts(scan)
    lines = [line for line in hand_written_phrases() if line.scan == scan.name]
    return [mark_phrase(line, meaning_of(engine, line.phrase), facts) for line in lines]


def meaning_of(engine: Engine, phrase: str) -> ObjectExpression | None:
    """The expression as which a phrase is read; None if it is not understood."""
    known = vocabulary.lookup(" ".join(plain(phrase).split()))
    if known is not None:
        return ObjectExpression((Item(known.key),))
    try:
        return read_phrase(phrase, lambda: ModelWriter(engine), linked_names).expression
    except InvalidPrompt:
        return None


def mark_phrase(line: HandWrittenPhrase, meant: ObjectExpression | None, facts: Facts) -> MarkedPhrase:
    """Mark what a phrase was read as.

    Args:
        line: with the right expressions.
        meant: that it was read as.
        facts: of the true masks.
    """
    right = () if line.object is None else (line.object, *line.also)
    found = None if meant is None else _mask(meant, facts)
    if line.kind in ("refused", "absent"):
        is_right = found is None or not found.any()
    else:
        wanted = [_mask(read_object(text), facts) for text in right]
        is_right = found is not None and any(each is not None and iou(found, each) >= SAME_IOU for each in wanted)
    return MarkedPhrase(line, "" if meant is None else str(meant), is_right, str(meant) in right)


def _mask(expression: ObjectExpression, facts: Facts) -> Mask | None:
    """The object that an expression means on the true masks; None if it cannot be composed."""
    try:
        kept = find_object(expression, facts).mask
    except MedVLSAM2Error:
        return None
    return np.zeros(facts.volume.shape_ijk, dtype=bool) if kept is None else kept.whole()
