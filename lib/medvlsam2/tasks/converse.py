"""Reports and answers: text that the model writes about a scan, with the structures and places that it names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from medvlsam2.data.language import chat
from medvlsam2.data.language.chat import AnswerKind
from medvlsam2.data.language.clinical import split_sentences, structures_in
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.measure.places import PlaceRAS
from medvlsam2.transforms.text import encode, turn_ids

REPORT_TOKENS: Final = 256
ANSWER_TOKENS: Final = 96


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


@dataclass(frozen=True)
class Answer:
    """The model's answer to one question."""

    text: str
    choice_index: int | None
    """Position of the chosen choice; None where none were given."""
    warnings: tuple[str, ...]
    latencies_s: dict[str, float]
    place_ras: PlaceRAS | None = None
    """Where in the scan the question and the answer are about, in RAS mm; None where nothing that they name is seen."""
    question: str = ""
    """As it was asked."""
    choices: tuple[str, ...] = ()
    """Answers to choose from; none for an open question."""


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
        text = _generate(engine, session, chat.report_question(), max_new_tokens)
        findings = tuple(
            ReportSentence(sentence, structures_in(sentence), session.place_of(sentence, engine.device_lock.give_way))
            for sentence in split_sentences(text)
        )
    return Report(text, findings, volume.warnings, {"total": time.perf_counter() - start})


def answer(
    engine: Engine,
    volume: CTVolume,
    question: str,
    choices: Sequence[str] = (),
    kind: AnswerKind | None = None,
) -> Answer:
    """Answer a question.

    Args:
        engine: the model.
        volume: the scan.
        question: in words.
        choices: for multiple choice; the likeliest of them is the answer.
        kind: style of the answer; None: multiple choice where choices are given, else short.

    Raises:
        InvalidPrompt: on an empty question, multiple choice with fewer than 2 or more than 26 choices, or choices
            together with another kind.
    """
    start = time.perf_counter()
    if choices and kind not in (None, "multiple_choice"):
        raise InvalidPrompt(f"Kind '{kind}' given with {len(choices)} choices. Leave out the choices, or the kind.")
    asked = chat.answer_question(question, choices, kind)
    with engine.requests.one(), engine.lease():
        session = engine.session(volume)
        index = _choose(engine, session, asked, choices) if choices else None
        text = _generate(engine, session, asked, ANSWER_TOKENS) if index is None else chat.choice_answer(choices, index)
        place_ras = session.place_of(f"{question} {text}", engine.device_lock.give_way)
    took_s = {"total": time.perf_counter() - start}
    return Answer(text, index, volume.warnings, took_s, place_ras, question, tuple(choices))


def _generate(engine: Engine, session: VolumeSession, question: str, max_new_tokens: int) -> str:
    loaded = session.loaded
    turn = turn_ids(loaded.tokenizer, question).to(session.device)
    ids = loaded.model.language.generate(
        session.measured_prefix(engine.device_lock.give_way), turn, max_new_tokens, engine.device_lock.give_way
    )
    text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return text.strip()


def _choose(engine: Engine, session: VolumeSession, question: str, choices: Sequence[str]) -> int:
    loaded = session.loaded
    turn = turn_ids(loaded.tokenizer, question).to(session.device)
    # whole answers: a small model knows what is likely better than which letter it has
    continuations = [encode(loaded.tokenizer, chat.choice_answer(choices, n)) for n in range(len(choices))]
    scores = loaded.model.language.score_choices(
        session.measured_prefix(engine.device_lock.give_way), turn, continuations
    )
    return int(torch.argmax(scores))
