"""An earlier scan of the same patient: what changed since then, as far as both scans were measured and dated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grounded.rule_words import rule_words
from medvlsam2.data.language.grounded.stated import nouns
from medvlsam2.data.quantities import told

MIN_CHANGE: Final = 0.1
"""Smallest change of a number, as a share, that is told although no finding is present. Two measurements of an organ
that did not change differ by a few percent."""


@dataclass(frozen=True)
class Prior:
    """An earlier scan.

    Args:
        table: its facts.
        date: of the earlier study, as YYYY-MM-DD.
        now: date of the study that is reported, as YYYY-MM-DD.
    """

    table: FactTable
    date: str
    now: str


@dataclass(frozen=True)
class Change:
    """One number of both scans."""

    fact: Fact
    subject: str
    """What was measured: "the length of the spleen", "the left renal cyst"."""
    then: str
    now: str


def changes(table: FactTable, prior: Prior) -> list[Change]:
    """Return what was measured in both scans: of findings always, of other things if it changed.

    Nothing is compared that one of the scans cuts off, and no finding of which one scan holds several, because nobody
    knows which is which.
    """
    found = []
    for fact in table:
        then = prior.table.get(fact.id)
        if then is None or not _is_comparable(fact, table) or not _is_comparable(then, prior.table):
            continue
        change = _change(fact, then)
        if change is not None:
            found.append(change)
    return found


def _is_comparable(fact: Fact, table: FactTable) -> bool:
    if fact.cut or fact.is_at_least or not fact.is_known:
        return False
    alike = [other for other in table if other.key == fact.key and other.is_present]
    return fact.kind == "rule" or (fact.is_present and len(alike) == 1)


def _change(fact: Fact, then: Fact) -> Change | None:
    now_json, then_json = fact.to_json(), then.to_json()
    field, unit = ("value", fact.unit) if fact.kind == "rule" else ("longest_mm", "mm")
    if fact.kind == "structure":
        field, unit = "volume_ml", "mL"
    if field not in now_json or field not in then_json or then.unit != fact.unit:
        return None
    now, before = float(now_json[field]), float(then_json[field])
    is_finding = fact.kind != "structure" and (fact.is_present or then.is_present)
    if not is_finding and abs(now - before) < MIN_CHANGE * max(abs(before), 1e-9):
        return None
    return Change(fact, _subject(fact), told(before, unit), told(now, unit))


def _subject(fact: Fact) -> str:
    if fact.kind == "structure":
        return f"the volume of {anatomy.the(fact.key)}"
    if fact.kind == "finding":
        return f"the {nouns(fact)[0]}"
    words = rule_words(fact)
    if fact.structure is not None and words.respect:
        return f"the {words.quantity} of {anatomy.the(fact.structure)}"
    return f"the {words.quantity} of {nouns(fact)[0]}"
