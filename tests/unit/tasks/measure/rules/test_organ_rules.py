"""Rules of organs: sizes, densities, stones; found, not found, and not assessed where a condition is not met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

NewScene = Callable[..., Any]


@pytest.mark.parametrize(("half_length", "state"), [(70.0, "present"), (55.0, "absent")])
def test_splenomegaly(new_scene: NewScene, half_length: float, state: str) -> None:
    scene = new_scene()
    facts = scene.draw("spleen", scene.ball((60, 90, 120), (25, 30, half_length)), 50).facts()
    fact = facts.rule("splenomegaly")
    assert (fact.state, fact.unit, fact.threshold) == (state, "mm", 130)
    assert fact.value == pytest.approx(2 * half_length, abs=5)
    assert (fact.code.value, fact.evidence) == ("16294009", ("spleen",))
    assert facts.finding("splenomegaly") == (fact,), "what a rule measures answers for the finding"
    assert (fact.mask == "spleen") == (state == "present")


def test_a_spleen_that_the_scan_cuts_is_not_assessed(new_scene: NewScene) -> None:
    scene = new_scene()
    fact = scene.draw("spleen", scene.ball((60, 90, 200), (25, 30, 70)), 50).facts().rule("splenomegaly")
    assert (fact.state, fact.value) == ("not assessed", None)
    assert fact.reason == "The scan does not show the whole spleen."


def test_a_cut_spleen_of_which_too_much_is_seen_is_enlarged(new_scene: NewScene) -> None:
    scene = new_scene()
    fact = scene.draw("spleen", scene.ball((60, 90, 190), (25, 30, 110)), 50).facts().rule("splenomegaly")
    assert (fact.state, fact.cut, fact.is_at_least) == ("present", True, True)
    assert fact.value == pytest.approx(160, abs=8)
    assert fact.reason == f"The scan does not show the whole spleen, which is at least {fact.value:.0f} mm long."


def test_a_spleen_without_a_mask_is_not_assessed(new_scene: NewScene) -> None:
    fact = new_scene().facts().rule("splenomegaly")
    assert fact.state == "not assessed"
    assert fact.reason


@pytest.mark.parametrize(
    ("radii", "state"),
    [((90.0, 60.0, 95.0), "present"), ((50.0, 35.0, 95.0), "absent"), ((90.0, 70.0, 70.0), "absent")],
)
def test_a_liver_is_enlarged_if_it_is_tall_and_of_great_volume(
    new_scene: NewScene, radii: tuple[float, float, float], state: str
) -> None:
    scene = new_scene()
    fact = scene.draw("liver", scene.ball((145, 90, 120), radii), 60).facts().rule("hepatomegaly")
    assert fact.state == state
    line_mm = (145 + radii[0] + 120) / 2
    height_mm = 2 * radii[2] * np.sqrt(1 - ((line_mm - 145) / radii[0]) ** 2)
    assert fact.value == pytest.approx(height_mm, abs=8)


def test_no_midclavicular_line_without_the_middle_of_the_body(new_scene: NewScene) -> None:
    scene = new_scene(blood_hu=None)
    fact = scene.draw("liver", scene.ball((145, 90, 120), (90, 60, 95)), 60).facts().rule("hepatomegaly")
    assert fact.state == "not assessed"


@pytest.mark.parametrize(
    ("liver_hu", "blood_hu", "state"),
    [(20.0, 40.0, "present"), (55.0, 40.0, "absent"), (20.0, 150.0, "not assessed"), (20.0, None, "not assessed")],
)
def test_a_fatty_liver_is_told_without_contrast_only(
    new_scene: NewScene, liver_hu: float, blood_hu: float | None, state: str
) -> None:
    scene = new_scene(blood_hu=blood_hu)
    fact = scene.draw("liver", scene.ball((160, 100, 120), (50, 50, 50)), liver_hu).facts().rule("hepatic_steatosis")
    assert fact.state == state
    assert "contrast" in fact.reason if state == "not assessed" else fact.value == pytest.approx(liver_hu)


@pytest.mark.parametrize(
    ("hu", "phase"), [(40, "non-contrast"), (110, "delayed"), (150, "portal venous"), (300, "arterial")]
)
def test_the_blood_tells_the_contrast_phase(new_scene: NewScene, hu: float, phase: str) -> None:
    fact = new_scene(blood_hu=hu).facts().rule("phase")
    assert (fact.state, fact.label, fact.value) == ("present", phase, pytest.approx(hu))


@pytest.mark.parametrize(("hu", "reason"), [(None, "not among what is told"), (-40, "does not hold blood alone")])
def test_no_phase_without_blood(new_scene: NewScene, hu: float | None, reason: str) -> None:
    fact = new_scene(blood_hu=hu).facts().rule("phase")
    assert fact.state == "not assessed"
    assert reason in fact.reason


@pytest.mark.parametrize(("right", "state"), [(35.0, "present"), (50.0, "absent")])
def test_kidneys_of_different_length(new_scene: NewScene, right: float, state: str) -> None:
    scene = new_scene()
    scene.draw("kidney_left", scene.ball((60, 60, 120), (25, 25, 52)), 30)
    scene.draw("kidney_right", scene.ball((180, 60, 120), (25, 25, right)), 30)
    fact = scene.facts().rule("kidney_asymmetry")
    assert (fact.state, fact.structure, fact.side) == (state, "kidney_right", "right")
    assert fact.value == pytest.approx(2 * (52 - right), abs=4)
    del scene.masks["kidney_right"]
    assert scene.facts().rule("kidney_asymmetry").state == "not assessed"


@pytest.mark.parametrize(
    ("stone_hu", "blood_hu", "state"), [(600, 40, "present"), (None, 40, "absent"), (200, 150, "absent")]
)
def test_kidney_stones_are_bright_spots(new_scene: NewScene, stone_hu: int | None, blood_hu: int, state: str) -> None:
    scene = new_scene(blood_hu=blood_hu)
    for side, x in (("left", 60), ("right", 180)):
        scene.draw(f"kidney_{side}", scene.ball((x, 60, 120), (28, 28, 50)), 30, noise=15)
    if stone_hu is not None:
        scene.draw(None, scene.ball((180, 60, 130), (4, 4, 4)), stone_hu)
    facts = scene.facts()
    fact = facts.rule("kidney_stone")
    assert fact.state == state
    if state == "present":
        assert (fact.structure, fact.side, fact.mask) == ("kidney_right", "right", "kidney_stone")
        assert fact.value == pytest.approx(8, abs=3)
        assert facts.mask(fact).sum() == scene.ball((180, 60, 130), (4, 4, 4)).sum()


def test_stones_are_not_assessed_where_urine_is_bright_or_a_kidney_is_not_seen(new_scene: NewScene) -> None:
    scene = new_scene(blood_hu=110)
    scene.draw("kidney_left", scene.ball((60, 60, 120), (28, 28, 50)), 100)
    assert "delayed" in scene.facts().rule("kidney_stone").reason
    scene = new_scene()
    scene.draw("kidney_left", scene.ball((60, 60, 120), (28, 28, 50)), 30, noise=15)
    assert scene.facts().rule("kidney_stone").state == "not assessed"


def test_gallstones(new_scene: NewScene) -> None:
    scene = new_scene()
    gallbladder = scene.ball((160, 110, 120), (18, 18, 30))
    scene.draw("gallbladder", gallbladder, 8, noise=8)
    assert scene.facts().rule("gallstone").state == "absent"
    assert new_scene().facts().rule("gallstone").state == "not assessed"
    scene.draw(None, scene.ball((160, 100, 120), (5, 5, 5)), 300)
    fact = scene.facts().rule("gallstone")
    assert (fact.state, fact.structure) == ("present", "gallbladder")
    assert fact.value == pytest.approx(10, abs=3)


def test_the_size_of_lung_nodules(new_scene: NewScene) -> None:
    scene = new_scene()
    small, large = scene.ball((60, 90, 80), (4, 4, 4)), scene.ball((70, 90, 140), (8, 6, 6))
    scene.draw("lung_left", scene.block((30, 90), (40, 140), (20, 220)), -850)
    scene.draw("lung_right", scene.block((150, 210), (40, 140), (20, 220)), -850)
    scene.draw(None, small, 30).draw(None, large, 30)
    facts = scene.facts({"lung_nodule": [small, large]})
    fact = facts.rule("lung_nodule_size")
    assert (fact.state, fact.label, fact.side, fact.structure) == ("present", "above 8 mm", "left", "lung_left")
    assert fact.value == pytest.approx(14, abs=3.5)
    assert [one.id for one in facts.finding("lung_nodule")] == ["lung_nodule.1", "lung_nodule.2"]
    assert scene.facts(every_finding_is_given=True).rule("lung_nodule_size").state == "absent"
    assert scene.facts().rule("lung_nodule_size").state == "not assessed"


@pytest.mark.parametrize(
    ("key", "hu", "phase"),
    [
        ("iliac_artery_left", 40, "non-contrast"),
        ("iliac_artery_left", 300, "arterial"),
        ("inferior_vena_cava", 150, "portal venous"),
        ("inferior_vena_cava", 240, "portal venous"),
        ("inferior_vena_cava", 40, ""),
        ("kidney_left", 35, "non-contrast"),
        ("kidney_left", 180, ""),
    ],
)
def test_other_vessels_and_kidneys_tell_the_phase_as_far_as_they_can(
    new_scene: NewScene, key: str, hu: float, phase: str
) -> None:
    scene = new_scene(blood_hu=None)
    fact = scene.draw(key, scene.tube(120, 60, 12), hu).facts().rule("phase")
    assert fact.label == phase
    assert fact.evidence == ((key,) if phase else ())
