"""The table of rules: every row can be measured, names only what the vocabulary has, and says where it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from medvlsam2.data import vocabulary
from medvlsam2.tasks.measure.rules.registry import MEASURES
from medvlsam2.tasks.measure.rules.table import TABLE, load_rules, load_table

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


def dicom_meanings() -> dict[str, str]:
    """All SNOMED CT codes that pydicom knows, with their meanings."""
    return {code: meaning for by_name in concepts["SCT"].values() for code, (meaning, _) in by_name.items()}


def words(meaning: str) -> set[str]:
    """Stems of the words that carry meaning, so that "Pancreas" and "Pancreatic structure" have one in common."""
    return {word[:4] for word in re.findall(r"[a-z]+", meaning.lower()) if len(word) > 2 and word not in VAGUE}


VAGUE = {"the", "and", "structure", "body", "left", "right", "part", "entire", "finding", "disorder"}
OTHER_WORDS = {
    **{"108369006": "Neoplasm", "57850000": "Celiac axis", "59820001": "Blood vessel"},
    **{"38266002": "Entire body", "421060004": "Spine"},
}
"""Codes for which pydicom has another word of the same meaning: tumor, truncus coeliacus, vertebral column."""
CODES = {(known.snomed.value, known.snomed.meaning) for known in vocabulary.STRUCTURES.values()} | {
    (rule.code.value, rule.code.meaning) for rule in load_rules().values() if rule.code is not None
}


def test_codes_mean_what_their_words_say() -> None:
    known = dicom_meanings()
    told = {code: meaning for code, meaning in CODES if code in known}
    assert len(told) > 80
    wrong = {
        code: (meaning, known[code])
        for code, meaning in told.items()
        if not words(meaning) & words(known[code]) and OTHER_WORDS.get(code) != meaning
    }
    assert not wrong


def test_codes_that_pydicom_does_not_know_are_listed_with_their_rules() -> None:
    text = files("medvlsam2.tasks.measure").joinpath(TABLE).read_text(encoding="utf-8")
    comment = text.partition("\nrules:")[0]
    unknown = {rule.code.value for rule in load_rules().values() if rule.code} - set(dicom_meanings())
    assert set(re.findall(r"\b\d{7,9}\b", comment)) == unknown
