r"""Plans of reports: the sentences that may come next, and right reports to learn from.

A report is written line by line. :class:`Draft` says which lines may come next; a line is a whole sentence whose slots
are filled already, so whoever chooses among the lines, a model or chance, can say nothing that the facts do not hold.
Sentences about facts are offered in windows of a few topics, so that reports keep an order that readers know, and the
choices stay few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

import numpy as np

from medvlsam2.data.fact_table import FactTable
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.grammar import pick
from medvlsam2.data.language.grounded.patterns import STYLES
from medvlsam2.data.language.grounded.prior import Prior
from medvlsam2.data.language.grounded.topics import Section, Topic, topics
from medvlsam2.data.language.task_prompts import report_prompt

WINDOW: Final = 3
"""Topics among which the next sentence may choose. More would let an untrained model mix findings and normal organs."""
HEADINGS: Final[dict[Section, str]] = {
    "technique": "Technique:",
    "findings": "Findings:",
    "impression": "Impression:",
}
_SECTIONS: Final[tuple[Section, ...]] = ("technique", "findings", "impression")
NO_FACTS: Final = "nothing was assessed"
"""What the prompt says of a scan without any fact."""


@dataclass(frozen=True)
class Line:
    """A line of a report: a heading, or a sentence about a topic."""

    text: str
    section: Section
    topic: Topic | None = None
    """None for a heading."""


@dataclass
class Draft:
    """A report that is being written.

    Args:
        table: facts of the scan.
        style: of the report.
        prior: facts of an earlier scan of the same patient.
    """

    table: FactTable
    style: ReportStyle
    prior: Prior | None = None
    lines: list[Line] = field(default_factory=list)
    """The lines so far."""

    def __post_init__(self) -> None:
        self._topics = topics(self.table, self.style, self.prior)
        self._left: dict[Section, list[Topic]] = {
            section: [topic for topic in self._topics if topic.section == section] for section in _SECTIONS
        }
        self._section: Section = "technique"

    @property
    def facts_in_words(self) -> list[str]:
        """The facts in a few words each, for the prompt."""
        return [topic.line for topic in self._topics if topic.line] or [NO_FACTS]

    @property
    def prompt(self) -> str:
        """The prompt of the whole report."""
        return report_prompt(self.style, self.facts_in_words)

    def options(self) -> dict[str, Line]:
        """Return the lines that may come next, by their texts; none if the report is complete."""
        left = self._left[self._section]
        if not self.lines or self.lines[-1].section != self._section:
            return self._heading(self._section) if left else self._after()
        found: dict[str, Line] = {}
        for topic in _window(left):
            for text in topic.sentences(self.style):
                found.setdefault(text, Line(text, self._section, topic))
        if not any(topic.must for topic in left):
            found |= self._after()
        return found

    def add(self, line: Line) -> None:
        """Add a line that was among the options."""
        self.lines.append(line)
        self._section = line.section
        if line.topic is not None:
            self._left[line.section].remove(line.topic)

    def _after(self) -> dict[str, Line]:
        """Return the heading of the next section that has something to tell."""
        later = _SECTIONS[_SECTIONS.index(self._section) + 1 :]
        return next((self._heading(section) for section in later if self._left[section]), {})

    def _heading(self, section: Section) -> dict[str, Line]:
        return {HEADINGS[section]: Line(HEADINGS[section], section)}


def _window(left: Sequence[Topic]) -> list[Topic]:
    """Return the topics that may come next: a few of one rank, or the last one of the section.

    The impression keeps the order of importance.
    """
    open_topics = [topic for topic in left if not topic.is_last] or list(left)
    if not open_topics or open_topics[0].section == "impression":
        return open_topics[:1]
    return list(takewhile(lambda topic: topic.rank == open_topics[0].rank, open_topics))[:WINDOW]


@dataclass(frozen=True)
class Plan:
    """A right report to learn from."""

    prompt: str
    """What the model reads."""
    answer: str
    """What it learns to write: one line for each sentence and heading."""


def plans(
    table: FactTable, seed: int, styles: Sequence[ReportStyle] = STYLES, prior: Prior | None = None
) -> list[Plan]:
    """Return a report in each style, in a sensible order and in random words.

    Findings come first, the most important first; then what is normal, what is absent, what else is seen; then the
    impression.

    Args:
        table: facts of the scan.
        seed: of every choice.
        styles: of the reports.
        prior: facts of an earlier scan of the same patient.
    """
    rng = np.random.default_rng(seed)
    return [_plan(Draft(table, style, prior), rng) for style in styles]


def _plan(draft: Draft, rng: np.random.Generator) -> Plan:
    while options := draft.options():
        lines = list(options.values())
        first = next((line.topic for line in lines if line.topic is not None), None)
        draft.add(pick(rng, [line for line in lines if line.topic is first] if first is not None else lines))
    return Plan(draft.prompt, "\n".join(line.text for line in draft.lines))
