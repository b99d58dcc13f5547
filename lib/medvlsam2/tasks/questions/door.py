"""The door for questions: from a question in words to an answer with what proves it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import chat
from medvlsam2.data.language.chat import AnswerKind
from medvlsam2.data.query.queries import AskPicture, Decline
from medvlsam2.data.query.reading import read_query
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.asking.job import Clock
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.writing import writes_queries
from medvlsam2.tasks.facts import facts_of
from medvlsam2.tasks.free_words import choose, generate
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.places import PlaceRAS
from medvlsam2.tasks.questions.answering import Told, decline, told
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.reading.model_writer import ModelWriter
from medvlsam2.tasks.questions.reading.read import Reading, read, require_askable
from medvlsam2.tasks.questions.reading.writer import QueryWriter
from medvlsam2.tasks.questions.replying.unanswered import GUESSED, NOTHING_STATED, unanswered
from medvlsam2.tasks.questions.replying.understood import understood

ANSWER_TOKENS: Final = 96


@dataclass(frozen=True)
class Answer:
    """The answer to one question."""

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
    grounded: bool = False
    """Whether the answer follows from facts of the scan; False: it is the model's guess, the nearest of some choices,
    or says that the question cannot be answered. A warning then says which."""
    value: Any = None
    """What was computed: a truth value, a number, a word, or several; None where nothing was."""
    unit: str = ""
    """Unit of the value."""
    query: str = ""
    """The question in the query language; the next question may refer to it. Empty for a model that writes none."""
    understood_as: str = ""
    """The query in plain English."""
    evidence: tuple[Fact, ...] = ()
    """Facts that the value was computed from."""
    unproved: tuple[str, ...] = ()
    """The warnings that say why the facts do not prove the answer; at least one unless it is grounded."""


def answer(
    engine: Engine,
    volume: CTVolume,
    question: str,
    choices: Sequence[str] = (),
    kind: AnswerKind | None = None,
    *,
    grounded: bool = True,
    previous: str | None = None,
    client: Hashable = None,
    facts: Facts | None = None,
    writer: QueryWriter | None = None,
) -> Answer:
    """Answer a question: from facts of the scan if the model can read the question as a query, else in its own words.

    Whoever asks must not hold the device. Only what the question is about is measured.

    Args:
        engine: the model.
        volume: the scan.
        question: in words.
        choices: for multiple choice; the one that agrees with what was computed is the answer.
        kind: style of the answer; None: multiple choice where choices are given, else a sentence where the answer is
            computed, and a few words where the model writes it.
        grounded: False: the model answers in its own words from the image, as in the paper, and nothing proves them.
        previous: the query of the question before (``Answer.query``), to which this one may refer.
        client: who asks. The last query of each client about each scan is remembered and stands for ``previous``.
        facts: of the scan; None: those of the masks that the engine's model finds.
        writer: writes the query; None: the engine's model, if its metadata say that it can.

    Raises:
        InvalidPrompt: on an empty question, one that is too long or not in English, multiple choice with fewer than 2
            or more than 26 choices, choices together with another kind, or a ``previous`` that is no query.
        Cancelled: if the work is no longer wanted.
    """
    if choices and kind not in (None, "multiple_choice"):
        raise InvalidPrompt(f"Kind '{kind}' given with {len(choices)} choices. Leave out the choices, or the kind.")
    asked = _Asked(engine, volume, question, tuple(choices), kind, chat.answer_question(question, choices, kind))
    if previous:
        read_query(previous)
    refusal = require_askable(question)
    if refusal is not None:
        return asked.answer(decline(refusal))
    if not grounded or (writer is None and not writes_queries(engine)):
        return asked.in_own_words()
    place = None if client is None else (client, volume.content_hash)
    remembered = previous or (None if place is None else engine.last_queries.get(place))
    reading = read(question, writer or ModelWriter(engine), remembered, choices)
    asked.watch.lap("query")
    if isinstance(reading.query, AskPicture):
        return asked.unread(reading)
    if isinstance(reading.query, Decline):
        return asked.answer(decline(reading.query))
    scene = Scene(facts or facts_of(engine, volume))
    said = told(question, reading.query, scene, choices=choices, kind=kind, guess=asked.guess)
    asked.watch.lap("measure")
    if place is not None:
        engine.last_queries[place] = str(reading.query)
    return asked.answer(said)


@dataclass
class _Asked:
    """One question on its way to an answer."""

    engine: Engine
    volume: CTVolume
    question: str
    choices: tuple[str, ...]
    kind: AnswerKind | None
    prompt: str
    """The question with choices and style, as a model reads it that answers in its own words."""
    watch: Clock = field(default_factory=Clock)

    def answer(self, said: Told) -> Answer:
        """What was computed, as the answer."""
        outcome = said.outcome
        return Answer(
            text=said.text,
            choice_index=said.choice_index,
            warnings=(*self.volume.warnings, *said.notes),
            latencies_s=self.watch.total(),
            place_ras=None if outcome is None else outcome.place_ras,
            question=self.question,
            choices=self.choices,
            grounded=said.grounded,
            value=None if outcome is None else outcome.told_value(),
            unit="" if outcome is None else outcome.unit,
            query=str(said.query),
            understood_as=understood(said.query),
            evidence=() if outcome is None else outcome.evidence,
            unproved=() if said.grounded else said.notes,
        )

    def unread(self, reading: Reading) -> Answer:
        """The answer to a question that asks for nothing that is measured, or whose query was refused."""
        if self.choices:
            index = self.guess()
            note = reading.refused or "Nothing that is measured answers this question; the model chose."
            text = chat.choice_answer(self.choices, index)
            return self.answer(Told(text, reading.query, None, index, grounded=False, notes=(note, GUESSED)))
        text = unanswered(self.question, reading.refused)
        return self.answer(Told(text, reading.query, grounded=False, notes=(NOTHING_STATED,)))

    def in_own_words(self) -> Answer:
        """The model's guess: its own words, or the likeliest choice."""
        engine = self.engine
        with engine.requests.one(), engine.lease():
            session = engine.session(self.volume)
            if self.choices:
                index = choose(engine, session, self.prompt, self.choices)
                text = chat.choice_answer(self.choices, index)
            else:
                index, text = None, generate(engine, session, self.prompt, ANSWER_TOKENS)
            place_ras = session.place_of(f"{self.question} {text}", engine.device_lock.give_way)
        took_s = self.watch.total()
        return Answer(
            text=text,
            choice_index=index,
            warnings=(*self.volume.warnings, GUESSED),
            latencies_s=took_s,
            place_ras=place_ras,
            question=self.question,
            choices=self.choices,
            unproved=(GUESSED,),
        )

    def guess(self) -> int:
        """The model's own choice."""
        with self.engine.requests.one(), self.engine.lease():
            return choose(self.engine, self.engine.session(self.volume), self.prompt, self.choices)
