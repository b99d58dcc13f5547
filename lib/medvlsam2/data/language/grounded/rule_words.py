"""Words for what rules measure: the noun of the finding, the name of the measured quantity, and how normal is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from medvlsam2.data.fact_table.fact import Fact


@dataclass(frozen=True, kw_only=True)
class RuleWords:
    """How texts speak of a rule."""

    quantity: str = ""
    """Name of what the rule measures; "" where the unit tells it."""
    respect: str = ""
    """In what respect a structure is normal if the rule is not passed; "" if the finding is then denied instead."""
    noun: str = ""
    """Name of the finding in sentences; "" where the fact's own name or the table of findings serves."""
    is_finding: bool = True
    """Whether the rule tells a finding. The scan's region and contrast phase are none."""
    is_denied: bool = True
    """Whether a report says that the finding is absent. No report tells that a muscle area is above its limit."""
    neighbour: str = ""
    """Vocabulary key of an organ of the same part of the body: where the scan's region does not hold the organ, nobody
    expects to read that the rule was not assessed. "" for a rule that is expected everywhere."""


_TABLE: Final[Mapping[str, RuleWords]] = {
    "region": RuleWords(is_finding=False),
    "phase": RuleWords(is_finding=False),
    "lung_nodule_size": RuleWords(is_finding=False),
    "ascending_aortic_dilatation": RuleWords(neighbour="heart"),
    "descending_aortic_dilatation": RuleWords(neighbour="heart"),
    "aortic_aneurysm": RuleWords(neighbour="liver"),
    "aortic_calcification": RuleWords(neighbour="aorta"),
    "splenomegaly": RuleWords(quantity="length", respect="size"),
    "hepatomegaly": RuleWords(quantity="height", respect="size"),
    "cardiomegaly": RuleWords(quantity="cardiothoracic ratio", respect="size"),
    "hepatic_steatosis": RuleWords(quantity="mean density", respect="density"),
    "low_vertebral_density": RuleWords(quantity="mean trabecular density", respect="density"),
    "kidney_asymmetry": RuleWords(quantity="difference in length", noun="asymmetry of the kidneys"),
    "vertebral_fracture": RuleWords(quantity="loss of height"),
    "emphysema": RuleWords(quantity="share of the lungs"),
    "low_muscle_area": RuleWords(quantity="muscle area", is_denied=False),
    "high_visceral_fat": RuleWords(quantity="fat area", is_denied=False),
}
_BY_UNIT: Final[Mapping[str, str]] = {
    "mm": "diameter",
    "mL": "volume",
    "mm3": "volume",
    "HU": "mean density",
    "%": "share",
    "cm2": "cross-section",
    "": "score",
}
QUANTITIES: Final = frozenset({words.quantity for words in _TABLE.values()} | set(_BY_UNIT.values())) - {""}
"""All names of measured quantities."""


def rule_words(fact: Fact) -> RuleWords:
    """Return the words for a fact of a rule; general words for facts of other kinds and for rules that are new."""
    words = _TABLE.get(fact.key, RuleWords()) if fact.kind == "rule" else RuleWords()
    return words if words.quantity else replace(words, quantity=_BY_UNIT.get(fact.unit, "measured value"))
