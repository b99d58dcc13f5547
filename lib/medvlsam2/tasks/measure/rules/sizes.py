"""Sizes of organs."""

from __future__ import annotations

from medvlsam2.tasks.measure.rules.needs import need
from medvlsam2.tasks.measure.rules.rule import Known, Measured, Rule


def length(rule: Rule, facts: Known) -> Measured:
    """The longest distance within an organ in three dimensions."""
    organ = need(rule.of[0], rule, facts)
    return Measured(value=organ.length_mm, evidence=(organ.id,), structure=organ.key)
