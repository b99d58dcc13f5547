"""The table of rules: every row can be measured, names only what the vocabulary has, and says where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from medvlsam2.data import vocabulary
from medvlsam2.tasks.measure.rules.registry import MEASURES
from medvlsam2.tasks.measure.rules.table import load_rules, load_table

NewScene = Callable[..., Any]


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


OF_THE_SCAN = {"region", "phase"}


@pytest.mark.parametrize("key", sorted(set(load_rules()) - OF_THE_SCAN))
def test_rules_of_other_parts_of_the_body_lie_outside_the_field_of_view(new_scene: NewScene, key: str) -> None:
    scene = new_scene(blood_hu=None)
    scene.draw("mandible", scene.ball((120, 120, 200), (30, 20, 15)), 600)
    scene.draw("esophagus", scene.tube(120, 60, 8), 40)
    fact = scene.facts(known_region="head and neck").rule(key)
    assert fact.state == "outside the field of view"
    assert "scan " in fact.reason


def test_a_rule_is_not_assessed_where_its_anatomy_could_be_shown(new_scene: NewScene) -> None:
    scene = new_scene(blood_hu=150).draw("liver", new_scene().ball((150, 100, 120), (50, 50, 50)), 60)
    facts = scene.facts(known_region="abdomen")
    assert facts.rule("hepatic_steatosis").state == "not assessed", "the phase is the reason, not the place"
    assert facts.rule("splenomegaly").state == "not assessed", "a spleen may be in view without being labelled"
    assert facts.rule("emphysema").state == "outside the field of view"


@pytest.mark.parametrize(
    ("region", "ascending", "abdominal"),
    [("chest", "not assessed", "outside the field of view"), ("abdomen", "outside the field of view", "absent")],
)
def test_levels_of_the_aorta_lie_in_different_regions(
    new_scene: NewScene, region: str, ascending: str, abdominal: str
) -> None:
    scene = new_scene()
    low = region == "chest"
    scene.draw("vertebrae_T12", scene.ball((120, 20, 6 if low else 120), (15, 15, 12)), 200)
    facts = scene.facts(known_region=region)
    assert facts.rule("ascending_aortic_dilatation").state == ascending
    assert facts.rule("aortic_aneurysm").state == abdominal
