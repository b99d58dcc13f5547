"""Questions and answers about one scan, and the measurements that are told before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language import chat
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.data.language.measurements import as_measured, corrupted, measured_text
from medvlsam2.data.language.reporting.reports import report
from medvlsam2.transforms.text import Conversation


@dataclass(frozen=True)
class ConversationSample:
    """Conversations about one scan."""

    conversations: tuple[Conversation, ...]
    measured: str | None
    """Measurements of the scan's masks in words, which stand before every question; None: no measurements are told."""


def conversation_sample(
    facts: ScanFacts, rng: np.random.Generator, count: int, *, measured_share: float
) -> ConversationSample | None:
    """Questions about a scan whose answers its facts prove; one of them asks for a report where all is known.

    Args:
        facts: what is known of the scan.
        rng: source of every choice.
        count: at most so many questions.
        measured_share: share of samples that tell measurements. They are corrupted as those of an imperfect model
            are, and the answers give the sizes that were told.

    Returns:
        None where too little is known of the scan.
    """
    measured = None
    if rng.random() < measured_share:
        seen = corrupted(facts, rng)
        facts, measured = as_measured(facts, seen), measured_text(seen)
    found = [
        Conversation(chat.answer_question(item.question, item.choices, item.kind), item.answer)
        for item in questions(facts, rng)
    ]
    order = rng.permutation(len(found))[: max(count - 1, 0)]
    chosen = [found[int(i)] for i in order]
    if facts.lesions_known:
        chosen.append(Conversation(chat.report_question(), report(facts, rng).text))
    return ConversationSample(tuple(chosen), measured) if chosen else None
