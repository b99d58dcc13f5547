"""The hand-written questions: right answers given the true masks, and queries that are exactly right.

The engine's model writes the query; the query is executed on facts of the true masks, so that only the reading of the
question is in question. What the answer must be comes from plain numpy where the kind of query allows it, else from
the right query on the same facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from medvlsam2.data.query.reading import read_query
from medvlsam2.errors import InvalidPrompt, MedVLSAM2Error
from medvlsam2.evaluation.hand_written.reading import HandWrittenQuestion, hand_written_questions
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures.given_query import GivenQuery
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.truth.agreement import agrees
from medvlsam2.evaluation.truth.given import true_facts
from medvlsam2.evaluation.truth.known_masks import Known
from medvlsam2.evaluation.truth.oracle import Expected, expected
from medvlsam2.tasks.converse import Answer, answer
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.reading.model_writer import ModelWriter
from medvlsam2.tasks.questions.reading.read import read, require_askable

TASK: Final = "handwritten"
GROUP: Final = "questions"
UNMEASURED: Final = ("picture", "decline identity", "decline treatment")
"""Queries that measure nothing."""


@dataclass(frozen=True)
class Marked:
    """One question with what became of it."""

    line: HandWrittenQuestion
    query: str
    """That the question was read as; empty if the question was refused."""
    text: str
    is_right: bool
    is_exact: bool
    """Whether the query is one of the right ones."""
    oracle_agrees: bool | None
    """Whether the right query gave what plain numpy says; None where numpy says nothing."""


def measure_hand_questions(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Right answers and exactly right queries by kind of question; nothing where no question asks about the scan."""
    for marked in mark_questions(engine, scan):
        kind = marked.line.kind
        values = {"right answer": marked.is_right, "exact query": marked.is_exact}
        if marked.line.hard:
            values["right answer, hard ones"] = marked.is_right
        if marked.oracle_agrees is not None:
            values["right query computes what numpy computes"] = marked.oracle_agrees
        for metric, value in values.items():
            yield Measurement(TASK, GROUP, kind, metric, scan.patient, float(value))


def mark_questions(engine: Engine, scan: LabelledScan) -> list[Marked]:
    """Ask all questions about one scan, and mark the answers."""
    lines = [line for line in hand_written_questions() if line.scan == scan.name]
    facts = true_facts(scan)
    return [_Marker(engine, scan, facts, line).mark() for line in lines]


@dataclass(frozen=True)
class _Marker:
    """One question on its way."""

    engine: Engine
    scan: LabelledScan
    facts: Facts
    line: HandWrittenQuestion

    def mark(self) -> Marked:
        """Ask it, and mark the answer."""
        line = self.line
        try:
            query = self._read()
        except InvalidPrompt:
            return Marked(line, "", "", line.kind == "foreign", False, None)
        right, oracle_agrees = self._right_ones()
        is_exact = query in line.queries
        if query in UNMEASURED and not line.choices:
            return Marked(line, query, "", is_exact, is_exact, oracle_agrees)
        given = self._answer(query)
        return Marked(line, query, given.text, self._is_right(given, right), is_exact, oracle_agrees)

    def _read(self) -> str:
        """The query that the question is read as."""
        refusal = require_askable(self.line.question)
        if refusal is not None:
            return str(refusal)
        line = self.line
        return str(read(line.question, ModelWriter(self.engine), line.before_query, line.choices).query)

    def _answer(self, query: str) -> Answer:
        line = self.line
        return answer(
            self.engine,
            self.scan.volume,
            line.question,
            line.choices,
            previous=line.before_query,
            facts=self.facts,
            writer=GivenQuery(query),
        )

    def _right_ones(self) -> tuple[list[Expected | Outcome], bool | None]:
        """What is right: by numpy, or what the right queries give; and whether both agree for the plainest query."""
        found: list[Expected | Outcome] = []
        agreed = None
        for number, query in enumerate(self.line.queries):
            if query in UNMEASURED:
                continue
            wanted, computed = expected(read_query(query), Known(self.scan)), self._compute(query)
            if wanted is not None:
                found.append(wanted)
            elif computed is not None:
                found.append(computed)
            if number == 0 and wanted is not None:
                agreed = computed is not None and agree(computed.value, computed.unit, computed.state, wanted)
        return found, agreed

    def _compute(self, query: str) -> Outcome | None:
        try:
            return execute(read_query(query), Scene(self.facts))
        except MedVLSAM2Error:
            return None

    def _is_right(self, given: Answer, right: list[Expected | Outcome]) -> bool:
        line = self.line
        if line.choices:
            return given.choice_index is not None and line.choices[given.choice_index] == line.right
        if given.query in UNMEASURED or not given.grounded:
            return given.query in line.queries
        if not _has_unit(given, line):
            return False
        state = "outside the field of view" if "field of view" in given.text else ""
        return any(
            agree(given.value, given.unit, state, one) if isinstance(one, Expected) else _same(given, one)
            for one in right
        )


def agree(value: Any, unit: str, state: str, wanted: Expected) -> bool:
    """Whether a value is what it must be; a thing that the scan does not show is not there either.

    Args:
        value: that was computed; None: nothing.
        unit: its unit.
        state: of what was asked for.
        wanted: what it must be.
    """
    if wanted.values == (False,) and value is None:
        return state == "outside the field of view"
    return agrees(tuple(value) if isinstance(value, list) else value, unit, wanted)


def _same(given: Answer, computed: Outcome) -> bool:
    """Whether an answer tells what was computed; where nothing was computed, it must tell nothing either."""
    right = computed.told_value()
    if given.value is None or right is None:
        return given.value is None and right is None and given.query == str(computed.query)
    if right in ([], ()):
        return given.value in ([], ())
    value, wanted = (tuple(one) if isinstance(one, list) else one for one in (given.value, right))
    return agrees(value, given.unit, Expected((wanted,), computed.unit))


def _has_unit(given: Answer, line: HandWrittenQuestion) -> bool:
    """Whether the unit is the one that the question names, if it names one."""
    asked = line.query.rpartition(", ")[2]
    return asked not in ("mL", "L", "mm", "cm", "HU", "%") or asked == given.unit
