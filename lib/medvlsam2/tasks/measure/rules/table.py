"""Reads ``finding_rules.yaml`` and applies its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import yaml

from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.measure.rules.needs import need_in_view, need_phase, need_thin_slices
from medvlsam2.tasks.measure.rules.proof import Proof
from medvlsam2.tasks.measure.rules.registry import MEASURES
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, OutOfView, Rule, code_of

TABLE: Final = "finding_rules.yaml"


@dataclass(frozen=True)
class Table:
    """The table as it was read."""

    rules: Mapping[str, Rule]
    proofs: Mapping[str, Proof]


@cache
def load_table() -> Table:
    """Read the table; at the first call only."""
    text = files("medvlsam2.tasks.measure").joinpath(TABLE).read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    rules = {key: _rule(key, row) for key, row in content["rules"].items()}
    proofs = {key: _proof(row) for key, row in content["proofs"].items()}
    return Table(MappingProxyType(rules), MappingProxyType(proofs))


def load_rules() -> Mapping[str, Rule]:
    """The rules by key, in the order of the table."""
    return load_table().rules


def judge(rule: Rule, facts: Known) -> tuple[Fact, Measured | None]:
    """What a rule says of a scan, and what it measured; None where it says nothing.

    Args:
        rule: of the table.
        facts: of the scan.
    """
    fact = Fact(
        id=rule.key,
        key=rule.key,
        kind="rule",
        name=rule.name,
        code=rule.code,
        state="not assessed",
        structure=rule.of[0] if len(rule.of) == 1 else None,
        unit=rule.unit,
        threshold=rule.threshold,
        source=rule.source,
    )
    try:
        need_thin_slices(rule, facts)
        need_phase(rule, facts)
        measured = MEASURES[rule.measure](rule, facts)
    except NotAssessed as refused:
        return _refused(_in_view(refused, rule, facts), fact), None
    if measured.refused is not None:
        return _refused(_in_view(measured.refused, rule, facts), fact), measured
    return _told(rule, fact, measured), measured


def _refused(refused: NotAssessed, fact: Fact) -> Fact:
    return replace(fact, state=refused.state, reason=str(refused))


def _in_view(refused: NotAssessed, rule: Rule, facts: Known) -> NotAssessed:
    """Why a rule says nothing: that the scan does not show its anatomy comes before all other reasons."""
    try:
        need_in_view(rule, facts)
    except OutOfView as outside:
        return refused if isinstance(refused, OutOfView) else outside
    return refused


def _told(rule: Rule, fact: Fact, measured: Measured) -> Fact:
    value = measured.value
    is_present = measured.is_true
    if is_present is None:
        is_present = value is not None and rule.is_passed(value)
    label = measured.label
    if label is None:
        label = rule.grade(value) if value is not None and is_present else ""
    known = {
        "state": "present" if is_present else "absent",
        "value": value,
        "label": label,
        "reason": measured.note,
        "evidence": measured.evidence,
        "structure": measured.structure or fact.structure,
        "side": measured.side,
        "is_at_least": measured.is_at_least,
    }
    return Fact(**{**vars(fact), **known})


def _rule(key: str, row: Mapping[str, Any]) -> Rule:
    given = _with_floats(row)
    given["code"] = code_of(given.get("code"))
    given["of"], given["beside"] = tuple(given["of"]), tuple(given.get("beside", ()))
    given["phases"] = tuple(given.get("phases", ()))
    given["grades"] = tuple((float(start), label) for start, label in given.get("grades", ()))
    given["limits"] = {name: float(value) for name, value in given.get("limits", {}).items()}
    return Rule(key=key, **given)


def _proof(row: Mapping[str, Any]) -> Proof:
    return Proof(**_with_floats(row))


def _with_floats(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose numbers are floats; YAML gives whole ones as integers."""
    numbers = {"threshold", "min_confidence", "max_slice_mm", "min_hu", "max_hu", "min_ml"}
    return {name: float(value) if name in numbers else value for name, value in row.items()}
