"""Reports and answers: text that the model writes about a scan, with the structures and places that it names."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from medvlsam2.data.language import chat
from medvlsam2.data.language.clinical import split_sentences, structures_in
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.free_words import generate
from medvlsam2.tasks.measure.places import PlaceRAS
from medvlsam2.tasks.questions.door import Answer, answer

__all__ = ["Answer", "Report", "ReportSentence", "answer", "report"]

REPORT_TOKENS: Final = 256


@dataclass(frozen=True)
class ReportSentence:
    """One sentence of a report."""

    sentence: str
    structures: tuple[str, ...]
    """Vocabulary keys of the structures that the sentence names; their names can be prompts for masks."""
    place_ras: PlaceRAS | None = None
    """Where in the scan that is, in RAS mm; None where nothing that it names is seen."""


@dataclass(frozen=True)
class Report:
    """A draft report; for a radiologist to correct, not to sign."""

    text: str
    findings: tuple[ReportSentence, ...]
    warnings: tuple[str, ...]
    latencies_s: dict[str, float]


def report(engine: Engine, volume: CTVolume, *, max_new_tokens: int = REPORT_TOKENS) -> Report:
    """Write a draft report.

    Args:
        engine: the model.
        volume: the scan.
        max_new_tokens: the longest report in tokens.
    """
    start = time.perf_counter()
    with engine.requests.one(), engine.lease():
        session = engine.session(volume)
        text = generate(engine, session, chat.report_question(), max_new_tokens)
        findings = tuple(
            ReportSentence(sentence, structures_in(sentence), session.place_of(sentence, engine.device_lock.give_way))
            for sentence in split_sentences(text)
        )
    return Report(text, findings, volume.warnings, {"total": time.perf_counter() - start})
