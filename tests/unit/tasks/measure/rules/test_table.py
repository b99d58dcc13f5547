"""The table of rules: every row can be measured, names only what the vocabulary has, and says where it comes from."""

from __future__ import annotations

import pytest

from medvlsam2.data import vocabulary
from medvlsam2.tasks.measure.rules.registry import MEASURES
from medvlsam2.tasks.measure.rules.table import load_rules, load_table


@pytest.mark.parametrize("key", load_rules())
def test_a_rule_is_complete(key: str) -> None:
    rule = load_rules()[key]
    assert rule.measure in MEASURES
    assert set(rule.of) | set(rule.beside) <= set(vocabulary.STRUCTURES)
    assert len(rule.source) > 20
    assert (rule.threshold is None) == (key in ("region", "phase"))
    assert set(rule.phases) <= {"non-contrast", "arterial", "portal venous", "delayed"}
    known = vocabulary.STRUCTURES.get(key)
    assert known is None or known.is_finding, "a rule never takes the key of normal anatomy"


def test_every_measure_is_used() -> None:
    assert {rule.measure for rule in load_rules().values()} == set(MEASURES)


@pytest.mark.parametrize("key", load_table().proofs)
def test_a_proof_is_of_a_finding_that_no_rule_measures(key: str) -> None:
    proof = load_table().proofs[key]
    assert vocabulary.STRUCTURES[key].is_finding
    assert key not in load_rules()
    assert proof.min_hu < proof.max_hu
    assert proof.source


def test_grades_rise_from_the_threshold_on() -> None:
    rule = load_rules()["vertebral_fracture"]
    assert [rule.grade(value) for value in (24.0, 25.0, 39.0, 60.0)] == ["", "moderate", "moderate", "severe"]
    below = load_rules()["hepatic_steatosis"]
    assert (below.is_passed(39.0), below.is_passed(41.0)) == (True, False)
