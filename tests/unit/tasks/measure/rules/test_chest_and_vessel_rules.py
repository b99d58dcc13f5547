"""Rules of heart, vessels, lungs and free air: found, not found, and not assessed where a condition is not met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

NewScene = Callable[..., Any]


def with_lungs(scene: Any, hu: float = -850) -> Any:
    scene.draw("lung_left", scene.block((20, 100), (40, 140), (20, 220)), hu)
    return scene.draw("lung_right", scene.block((140, 220), (40, 140), (20, 220)), hu)


@pytest.mark.parametrize(("half_width", "state"), [(60.0, "present"), (40.0, "absent")])
def test_the_heart_against_the_chest(new_scene: NewScene, half_width: float, state: str) -> None:
    scene = with_lungs(new_scene())
    facts = scene.draw("heart", scene.ball((120, 110, 120), (half_width, 25, 40)), 40).facts()
    fact = facts.rule("cardiomegaly")
    assert (fact.state, fact.structure) == (state, "heart")
    assert fact.value == pytest.approx(2 * half_width / 200, abs=0.03)
    del scene.masks["lung_left"]
    assert scene.facts().rule("cardiomegaly").state == "not assessed"


@pytest.mark.parametrize(("radius", "state"), [(18.0, "present"), (10.0, "absent")])
def test_an_abdominal_aneurysm_is_told_by_its_level(new_scene: NewScene, radius: float, state: str) -> None:
    scene = new_scene(blood_hu=None)
    vertebra = scene.ball((120, 20, 140), (15, 15, 12))
    aorta = scene.tube(120, 60, 10) | scene.ball((120, 60, 70), (radius, radius, 25))
    facts = scene.draw("vertebrae_T12", vertebra, 200).draw("aorta", aorta, 150).facts()
    abdominal, thoracic = facts.rule("aortic_aneurysm"), facts.rule("descending_aortic_dilatation")
    assert (abdominal.state, abdominal.evidence) == (state, ("aorta", "vertebrae_T12"))
    assert abdominal.value == pytest.approx(2 * radius, abs=4)
    assert (thoracic.state, thoracic.value) == ("absent", pytest.approx(20, abs=4))
    del scene.masks["vertebrae_T12"]
    assert scene.facts().rule("aortic_aneurysm").state == "not assessed"


@pytest.mark.parametrize(("radius", "state"), [(18.0, "present"), (10.0, "outside the field of view")])
def test_a_short_piece_of_the_aorta_does_not_exclude_an_aneurysm(
    new_scene: NewScene, radius: float, state: str
) -> None:
    scene = new_scene(blood_hu=None, size_mm=(240.0, 180.0, 60.0))
    scene.draw("vertebrae_T12", scene.ball((120, 20, 45), (15, 15, 12)), 200)
    fact = scene.draw("aorta", scene.tube(120, 60, radius), 150).facts(known_region="abdomen").rule("aortic_aneurysm")
    assert fact.state == state
    assert state == "present" or "abdominal aorta" in fact.reason


def test_the_ascending_aorta_is_the_front_one_of_two(new_scene: NewScene) -> None:
    scene = new_scene(blood_hu=None)
    scene.draw("vertebrae_T12", scene.ball((120, 20, 60), (15, 15, 12)), 200)
    descending = scene.tube(110, 45, 11)
    scene.draw("aorta", descending | scene.tube(130, 110, 22, z=(130, 200)), 150)
    fact = scene.facts().rule("ascending_aortic_dilatation")
    assert (fact.state, fact.label, fact.value) == ("present", "dilatation", pytest.approx(44, abs=4))
    assert scene.facts().rule("descending_aortic_dilatation").value == pytest.approx(22, abs=4)
    scene.masks["aorta"] = descending
    assert "ascending" in scene.facts().rule("ascending_aortic_dilatation").reason


@pytest.mark.parametrize(
    ("blood_hu", "plaque_hu", "state"), [(40, 450, "present"), (40, 60, "absent"), (150, 450, "not assessed")]
)
def test_calcium_of_the_coronary_arteries(new_scene: NewScene, blood_hu: float, plaque_hu: int, state: str) -> None:
    scene = new_scene(blood_hu=blood_hu)
    scene.draw("heart", scene.ball((120, 110, 120), (50, 40, 40)), 40, noise=12)
    plaque = scene.block((118, 124), (146, 150), (110, 126))
    scene.draw(None, plaque, plaque_hu)
    scene.draw("sternum", scene.block((100, 140), (162, 170), (60, 180)), 600)
    facts = scene.facts()
    fact = facts.rule("coronary_calcification")
    assert fact.state == state
    if state == "present":
        volume_mm3 = plaque.sum() * scene.voxel_mm3
        assert fact.value == pytest.approx(volume_mm3)
        # Agatston: the area on each slice of 3 mm x 4 (above 400 HU)
        assert fact.label == f"Agatston-like score {volume_mm3 / 3 * 4:.0f}, severe"
        assert np.array_equal(facts.mask(fact), plaque)


def test_no_agatston_score_of_thick_slices(new_scene: NewScene) -> None:
    scene = new_scene(voxel_mm=(3.0, 3.0, 5.0))
    scene.draw("heart", scene.ball((120, 110, 120), (50, 40, 40)), 40, noise=12)
    fact = scene.draw(None, scene.block((114, 126), (140, 150), (110, 130)), 450).facts().rule("coronary_calcification")
    assert (fact.state, fact.label) == ("present", "")


def test_calcium_of_the_aorta_and_not_of_the_spine_beside_it(new_scene: NewScene) -> None:
    scene = new_scene(blood_hu=None)
    scene.draw("aorta", scene.tube(120, 60, 10), 40, noise=10)
    scene.draw("vertebrae", scene.block((90, 150), (20, 54), (20, 220)), 300)
    assert scene.facts().rule("aortic_calcification").state == "absent"
    plaque = scene.block((117, 123), (60, 66), (99, 111))
    scene.draw(None, plaque, 500)
    fact = scene.facts().rule("aortic_calcification")
    assert (fact.state, fact.structure) == ("present", "aorta")
    assert fact.value == pytest.approx(plaque.sum() * scene.voxel_mm3)


def test_emphysema_is_the_share_of_thin_lung(new_scene: NewScene) -> None:
    scene = with_lungs(new_scene())
    none = scene.facts(every_finding_is_given=True).rule("emphysema")
    assert (none.state, none.value) == ("absent", 0.0)
    scene.draw(None, scene.block((20, 100), (100, 140), (20, 220)), -980)
    fact = scene.facts(every_finding_is_given=True).rule("emphysema")
    assert fact.state == "present"
    assert fact.value == pytest.approx(20, abs=4)
    leak = scene.block((20, 100), (100, 140), (20, 220))
    assert (
        "pneumothorax"
        in scene.facts({"pneumothorax_left": [leak]}, every_finding_is_given=True).rule("emphysema").reason
    )
    thick = with_lungs(new_scene(voxel_mm=(3.0, 3.0, 8.0)))
    assert "8.0 mm apart" in thick.facts(every_finding_is_given=True).rule("emphysema").reason


def test_no_lung_that_the_scan_cuts_is_called_free_of_emphysema(new_scene: NewScene) -> None:
    scene = with_lungs(new_scene())
    scene.draw("lung_left", scene.masks["lung_left"] | scene.block((30, 60), (100, 130), (180, 400)), -850)
    fact = scene.facts(every_finding_is_given=True).rule("emphysema")
    assert fact.state == "not assessed"
    assert "whole left lung" in fact.reason
    scene.draw(None, scene.block((20, 100), (100, 140), (20, 220)), -980)
    assert scene.facts(every_finding_is_given=True).rule("emphysema").state == "present"


def with_bowel(scene: Any) -> Any:
    """A body in air with a liver, a bowel that holds gas, and the bases of the lungs."""
    scene.hu[...] = -1000
    scene.draw(None, scene.block((10, 230), (10, 170), (0, 240)), -100)
    scene.draw("liver", scene.block((150, 210), (60, 140), (110, 200)), 60)
    for number, key in enumerate(("stomach", "duodenum", "small_bowel", "colon")):
        scene.draw(key, scene.block((40, 100), (60, 110), (20 + 40 * number, 50 + 40 * number)), -900)
    scene.draw("lung_left", scene.block((40, 100), (50, 120), (210, 230)), -850)
    return scene.draw("lung_right", scene.block((140, 200), (50, 120), (210, 230)), -850)


def test_free_air_is_air_outside_of_the_bowel(new_scene: NewScene) -> None:
    scene = with_bowel(new_scene(blood_hu=None))
    assert scene.facts().rule("free_air").state == "absent", "gas in the bowel, the lungs and the room is none"
    pocket = scene.block((150, 200), (142, 152), (120, 180))
    facts = scene.draw(None, pocket, -980).facts()
    fact = facts.rule("free_air")
    assert (fact.state, fact.value) == ("present", pytest.approx(pocket.sum() * scene.voxel_mm3 / 1000))
    assert np.array_equal(facts.mask(fact), pocket)
    del scene.masks["small_bowel"]
    assert scene.facts().rule("free_air").state == "not assessed"


FLUID = {
    "pleural_effusion_left": 10,
    "pericardial_effusion": 15,
    "ascites": 5,
    "hydronephrosis_left": 8,
    "kidney_cyst_left": 5,
}


@pytest.mark.parametrize(("key", "hu"), [*FLUID.items(), ("pneumothorax_left", -990)])
def test_a_marked_finding_is_believed_if_its_density_proves_it(new_scene: NewScene, key: str, hu: int) -> None:
    scene = new_scene()
    mark = scene.ball((60, 90, 120), (25, 25, 25))
    (proved,) = scene.draw(None, mark, hu).facts({key: [mark]}).finding(key)
    assert (proved.state, proved.mean_hu) == ("present", pytest.approx(hu))
    assert proved.source
    (disproved,) = scene.draw(None, mark, -300).facts({key: [mark]}).finding(key)
    assert (disproved.id, disproved.state) == (key, "not assessed")
    assert "-300 HU" in disproved.reason
    with_lungs(scene).draw("kidney_left", scene.ball((60, 90, 120), (30, 30, 50)), 30)
    (unmarked,) = scene.facts(every_finding_is_given=True, known_region="trunk").finding(key)
    assert unmarked.state == "absent"
