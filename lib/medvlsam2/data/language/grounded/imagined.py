"""Imagined facts in every state that measuring gives, for training and for tests: no scan is needed.

The findings are those of ``corpus.random_facts``. Rules get values on their side of the threshold, organs are cut,
lesions get a short axis and a density. The numbers are plausible for the finding, nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactState, FactTable
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.findings.lesions import UNSIZED
from medvlsam2.data.language.grammar import pick
from medvlsam2.data.language.grounded.known import known_facts
from medvlsam2.data.language.grounded.slots import BY_VOLUME, GRADES
from medvlsam2.data.language.grounded.stated import stated

_CUT_SHARE: Final = 0.12
"""Probability that the scan ends within a structure that is seen."""
_UNASSESSED_SHARE: Final = 0.15
"""Probability that a rule, or a finding that would be denied, was not assessed."""
_PASSED_SHARE: Final = 0.3
"""Probability that a rule's threshold is passed, where the imagined findings say nothing of the rule."""
_FLUID_ML: Final = (4.0, 900.0)
_NOT_SURE: Final = "Its mask is not sure enough to be measured."


@dataclass(frozen=True)
class _Imagined:
    """A rule: what it is about, its threshold, and the values on both sides of it."""

    key: str
    name: str
    structure: str
    unit: str
    threshold: float
    values: tuple[float, float]
    """Least and greatest value, around the threshold."""
    passes_above: bool = True
    is_graded: bool = False
    host: str = ""
    """Structure that must be seen; "" for the structure itself."""


_RULES: Final = (
    _Imagined("splenomegaly", "splenomegaly", "spleen", "mm", 130.0, (70.0, 220.0)),
    _Imagined("hepatomegaly", "hepatomegaly", "liver", "mm", 160.0, (110.0, 230.0)),
    _Imagined("hepatic_steatosis", "hepatic steatosis", "liver", "HU", 40.0, (-5.0, 70.0), passes_above=False),
    _Imagined("ascending_aortic_dilatation", "dilatation of the ascending aorta", "aorta", "mm", 40.0, (24.0, 58.0)),
    _Imagined(
        "descending_aortic_dilatation", "dilatation of the descending thoracic aorta", "aorta", "mm", 40.0, (18.0, 50.0)
    ),
    _Imagined("aortic_aneurysm", "aneurysm of the abdominal aorta", "aorta", "mm", 30.0, (14.0, 75.0)),
    _Imagined("cardiomegaly", "cardiomegaly", "heart", "", 0.55, (0.38, 0.75)),
    _Imagined(
        "coronary_calcification", "coronary artery calcification", "heart", "mm3", 5.0, (0.0, 900.0), is_graded=True
    ),
    _Imagined("aortic_calcification", "calcification of the aorta", "aorta", "mm3", 5.0, (0.0, 4000.0)),
    _Imagined("kidney_stone", "kidney stone", "kidney_left", "mm", 2.9, (3.0, 18.0)),
    _Imagined("gallstone", "calcified gallstone", "gallbladder", "mm", 2.9, (3.0, 25.0)),
    _Imagined(
        "kidney_asymmetry", "difference in size of the kidneys", "kidneys", "mm", 15.0, (1.0, 40.0), host="kidney_left"
    ),
    _Imagined(
        "low_vertebral_density", "low density of the vertebrae", "vertebrae_L1", "HU", 110.0, (40.0, 230.0), False
    ),
    _Imagined(
        "vertebral_fracture", "loss of vertebral height", "vertebrae_T12", "%", 20.0, (3.0, 60.0), is_graded=True
    ),
    _Imagined("emphysema", "emphysema", "lungs", "%", 5.0, (0.1, 40.0), host="lung_left"),
    _Imagined("free_air", "free air in the abdomen", "liver", "mL", 1.0, (0.0, 80.0)),
)
"""The rules of ``finding_rules.yaml`` that reports tell; a test compares their names with that file."""


def imagined_facts(rng: np.random.Generator) -> FactTable:
    """Return the facts of a scan that nobody made.

    Args:
        rng: random generator for every choice.
    """
    table = known_facts(random_facts(rng))
    facts = [_varied(fact, rng) for fact in table]
    seen = {fact.key for fact in facts if fact.kind == "structure" and fact.is_present and not fact.cut}
    told = {stated(fact) for fact in facts if fact.kind != "structure" and fact.is_known}
    for rule in _RULES:
        if (rule.host or rule.structure) not in seen or rng.random() < _UNASSESSED_SHARE:
            continue
        fact = _of_rule(rule, rng)
        if stated(fact) not in told and fact.id not in table:
            facts.append(fact)
    return FactTable(tuple(facts))


def _varied(fact: Fact, rng: np.random.Generator) -> Fact:
    if fact.kind == "structure":
        return replace(fact, cut=True) if fact.is_present and rng.random() < _CUT_SHARE else fact
    if fact.state == "absent" and rng.random() < _UNASSESSED_SHARE:
        return replace(fact, state="not assessed", reason=_NOT_SURE)
    if fact.key in _BY_KEY:
        return _with_value(fact, _BY_KEY[fact.key], rng)
    if not fact.is_present or fact.kind == "rule":
        return fact
    kind = stated(fact).kind
    if kind in BY_VOLUME:
        return replace(fact, volume_ml=float(rng.uniform(*_FLUID_ML)), longest_mm=None)
    if kind in UNSIZED or fact.longest_mm is None:
        return fact
    return replace(fact, short_axis_mm=fact.longest_mm * float(rng.uniform(0.5, 1.0)), hu_inside=True)


_BY_KEY: Final = {rule.key: rule for rule in _RULES if rule.key in ("splenomegaly", "cardiomegaly")}


def _of_rule(rule: _Imagined, rng: np.random.Generator) -> Fact:
    known = vocabulary.STRUCTURES.get(rule.key)
    is_present = rng.random() < _PASSED_SHARE
    # A rule that looked at both sides and found nothing names no side.
    place = rule.structure if is_present or anatomy.side(rule.structure) is None else None
    fact = Fact(
        id=rule.key,
        key=rule.key,
        kind="rule",
        name=rule.name,
        code=None if known is None else known.snomed,
        state="present" if is_present else "absent",
        structure=place,
        side=None if place is None else anatomy.side(place),
    )
    return _with_value(fact, rule, rng)


def _with_value(fact: Fact, rule: _Imagined, rng: np.random.Generator) -> Fact:
    """Return the fact with a value that agrees with its state; without one where it is not known."""
    state: FactState = fact.state
    if state not in ("present", "absent"):
        return fact
    least, greatest = rule.values
    above = (rule.threshold + 0.01 * (greatest - least), greatest)
    below = (least, rule.threshold)
    low, high = above if (state == "present") == rule.passes_above else below
    if low >= high:
        return replace(fact, unit=rule.unit, threshold=rule.threshold)
    label = pick(rng, GRADES) if rule.is_graded and state == "present" else ""
    value = float(rng.uniform(low, high))
    return replace(fact, value=value, unit=rule.unit, threshold=rule.threshold, label=label)
