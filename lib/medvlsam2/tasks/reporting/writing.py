"""Writes a report line by line, reads each sentence again, and leaves out what the facts do not support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data.language.grounded.plans import HEADINGS, Draft, Line
from medvlsam2.data.language.grounded.topics import Section
from medvlsam2.tasks.reporting.choosing import Chooser
from medvlsam2.tasks.reporting.reader import Reader
from medvlsam2.tasks.reporting.support import FactIds

_NOT_REPEATED: Final = "The findings of this report do not hold it."


@dataclass(frozen=True)
class Told:
    """A sentence that the facts support."""

    text: str
    section: Section
    fact_ids: FactIds


@dataclass(frozen=True)
class Removed:
    """A sentence that was left out."""

    text: str
    reason: str


@dataclass(frozen=True)
class WrittenReport:
    """A report and what was left out of it."""

    told: tuple[Told, ...]
    removed: tuple[Removed, ...]

    def text(self, *, by_line: bool) -> str:
        """The whole report: a paragraph for each section.

        Args:
            by_line: whether each sentence stands on a line of its own, as in a structured report.
        """
        parts = []
        for section, heading in HEADINGS.items():
            sentences = [one.text for one in self.told if one.section == section]
            if sentences:
                between = "\n" if by_line and section == "findings" else " "
                parts.append(f"{heading}{between}{between.join(sentences)}")
        return "\n".join(parts)


def write_report(draft: Draft, chooser: Chooser) -> WrittenReport:
    """Write a report.

    Args:
        draft: offers the lines.
        chooser: chooses among them.
    """
    while options := draft.options():
        draft.add(options[chooser.choose(list(options))])
    return checked(draft.lines, Reader(draft.table, draft.prior))


def checked(lines: Sequence[Line], reader: Reader) -> WrittenReport:
    """Read each sentence; keep what the facts support, in the impression only what the findings hold too.

    Args:
        lines: of a report, with the headings of its sections.
        reader: of the scan's facts.
    """
    told: list[Told] = []
    removed: list[Removed] = []
    for line in lines:
        if line.text in HEADINGS.values():
            continue
        judged = reader.judge(line.text)
        reason = judged.reason
        if not reason and line.section == "impression":
            held = {fact_id for one in told if one.section == "findings" for fact_id in one.fact_ids}
            reason = "" if held.issuperset(judged.fact_ids) else _NOT_REPEATED
        if reason:
            removed.append(Removed(line.text, reason))
        else:
            told.append(Told(line.text, line.section, judged.fact_ids))
    return WrittenReport(tuple(told), tuple(removed))
