"""Contradictions between a text and the masks that ``segment`` gives for the names in the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import FactTable
from medvlsam2.errors import InvalidPrompt, UnknownStructure
from medvlsam2.evaluation.claims.checking import Checked, check
from medvlsam2.evaluation.claims.evidence import MaskEvidence, TableEvidence
from medvlsam2.evaluation.claims.reading import Presence
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

METRIC = "contradictions with masks"


def evidence_of_masks(engine: Engine, scan: LabelledScan, judged: FactTable | None = None) -> MaskEvidence:
    """The masks of a scan by name, each found by a request of its own when it is first needed.

    Args:
        engine: the model.
        scan: to look at.
        judged: facts of the reply, for numbers of rules that no single mask tells.
    """

    def mask_of(key: str) -> Mask:
        prompt = ObjectPrompt(vocabulary.STRUCTURES[key].name)
        try:
            mask: Mask = segment(engine, scan.volume, [prompt]).label_map > 0
        except (InvalidPrompt, UnknownStructure):
            mask = np.zeros(scan.volume.shape_ijk, dtype=bool)
        return mask

    return MaskEvidence(scan.volume, mask_of, None if judged is None else TableEvidence(judged))


def contradicted(sentences: Sequence[str], evidence: MaskEvidence) -> list[Checked]:
    """The claims of some sentences that the masks contradict."""
    return [each for sentence in sentences for each in check(sentence, evidence) if each.verdict is False]


def count_contradictions(
    task: str, scan: LabelledScan, sentences: Sequence[str], evidence: MaskEvidence, suffix: str = ""
) -> Iterator[Measurement]:
    """Number of contradictions of a text, for presence, sides and numbers; ``suffix`` belongs to the metric's name."""
    wrong = contradicted(sentences, evidence)
    for subject in ("presence", "side", "number"):
        count = sum(_subject(each) == subject for each in wrong)
        yield Measurement(task, scan.group, subject, METRIC + suffix, scan.patient, float(count))


def _subject(each: Checked) -> str:
    if not isinstance(each.claim, Presence):
        return "number"
    return "side" if ", is " in each.why else "presence"
