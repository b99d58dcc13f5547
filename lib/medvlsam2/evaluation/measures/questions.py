"""Answers to questions about scans: all topics for phantoms; for real scans, topics that their labels prove."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np

from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language.asking.drafts import QuestionAnswer
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.texts import TextPair
from medvlsam2.tasks.converse import answer
from medvlsam2.tasks.engine.engine import Engine

TASK: Final = "vqa"
QUESTIONS_EACH: Final = 8
"""Questions for each scan and style of answer."""
PROVEN_TOPICS: Final = ("presence", "organ", "region", "plane", "modality")
"""Topics that labels prove. Volumes are left out, since the end of a scan may cut a structure."""
_DRAWS: Final = 3
"""Times that questions are drawn for a scan: each draw gives a question one style and one wording."""


def measure_questions(engine: Engine, scan: LabelledScan) -> Iterator[Measurement | TextPair]:
    """Accuracy of choices and short answers by topic, and long answers to compare."""
    for asked in drawn_questions(scan):
        given = answer(engine, scan.volume, asked.question, asked.choices, asked.kind)
        if asked.kind == "long":
            yield TextPair(TASK, scan.group, asked.topic, scan.patient, given.text, (asked.answer,))
            continue
        right = same_answer(given.text, asked.answer)
        metric = "multiple choice" if asked.kind == "multiple_choice" else "short"
        yield Measurement(TASK, scan.group, asked.topic, metric, scan.patient, float(right))


def drawn_questions(scan: LabelledScan) -> list[QuestionAnswer]:
    """Questions about one scan, the same ones every time, no question twice in one style."""
    if scan.facts is None:
        return []
    topics = None if scan.facts.lesions_known else PROVEN_TOPICS
    by_kind: dict[str, dict[str, QuestionAnswer]] = defaultdict(dict)
    for each in _drawn(scan.facts):
        if topics is None or each.topic in topics:
            by_kind[each.kind].setdefault(each.question, each)
    return [each for kind in sorted(by_kind) for each in list(by_kind[kind].values())[:QUESTIONS_EACH]]


def same_answer(given: str, right: str) -> bool:
    """Whether two short answers say the same: case, articles and punctuation do not matter.

    Example:
        >>> same_answer("The left kidney.", "left kidney"), same_answer("No", "Yes")
        (True, False)
    """
    return _bare(given) == _bare(right)


def _drawn(facts: ScanFacts) -> Iterator[QuestionAnswer]:
    for seed in range(_DRAWS):
        yield from questions(facts, np.random.default_rng(seed))


def _bare(text: str) -> list[str]:
    return [word for word in re.findall(r"[\w.\-]*\w", text.lower()) if word not in ("the", "a", "an")]
