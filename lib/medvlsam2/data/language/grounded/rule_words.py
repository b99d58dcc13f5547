"""Words for what rules measure: the noun of the finding, the name of the measured quantity, and how normal is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medvlsam2.data.fact_table.fact import Fact


@dataclass(frozen=True, kw_only=True)
class RuleWords:
    """How texts speak of a rule."""

    quantity: str = "measured value"
    """Name of what the rule measures."""
    respect: str = ""
    """In what respect a structure is normal if the rule is not passed; "" if the finding is then denied instead."""
    is_finding: bool = True
    """Whether the rule tells a finding; the scan's region and contrast phase are none."""


_TABLE: Final[Mapping[str, RuleWords]] = {
    "region": RuleWords(is_finding=False),
    "phase": RuleWords(is_finding=False),
    "splenomegaly": RuleWords(quantity="length", respect="size"),
    "hepatomegaly": RuleWords(quantity="length", respect="size"),
    "cardiomegaly": RuleWords(quantity="cardiothoracic ratio", respect="size"),
}
_BY_UNIT: Final[Mapping[str, str]] = {
    "mm": "diameter",
    "mL": "volume",
    "HU": "mean density",
    "%": "share",
    "cm2": "area",
}
"""Names of measured quantities for rules that a site added to its table."""


def rule_words(fact: Fact) -> RuleWords:
    """Return the words for a fact of a rule; general words for facts of other kinds and for rules that are new."""
    return _TABLE.get(fact.key) or RuleWords(quantity=_BY_UNIT.get(fact.unit, "measured value"))
