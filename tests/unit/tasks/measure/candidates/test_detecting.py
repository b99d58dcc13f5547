"""Lesions that brightness and shape prove: found once, where they lie, and absent only from a whole organ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.tasks.measure.candidates.detecting import Detecting
from medvlsam2.tasks.measure.candidates.table import FINDERS, load_detections
from medvlsam2.tasks.measure.fact_source import Facts

NewScene = Callable[..., Any]


def facts_of(scene: Any, lesions: dict[str, list[np.ndarray]] | None = None, **known: Any) -> Facts:
    return Facts(Detecting(scene.facts(lesions, **known).source))


def chest(new_scene: NewScene, voxel_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> Any:
    scene = new_scene(voxel_mm=voxel_mm, size_mm=(240.0, 140.0, 160.0))
    scene.draw("lung_left", scene.ball((70, 70, 80), (40, 55, 65)), -850, noise=20)
    return scene.draw("lung_right", scene.ball((170, 70, 80), (40, 55, 65)), -850, noise=20)


def belly(new_scene: NewScene) -> Any:
    scene = new_scene(blood_hu=150, voxel_mm=(2.0, 2.0, 2.0), size_mm=(240.0, 140.0, 160.0))
    scene.draw("liver", scene.ball((160, 70, 80), (60, 50, 55)), 110, noise=8)
    return scene.draw("kidney_left", scene.ball((50, 60, 80), (26, 26, 50)), 170, noise=8)


@pytest.mark.parametrize("key", load_detections())
def test_a_detection_is_complete(key: str) -> None:
    detection = load_detections()[key]
    assert detection.find in FINDERS
    assert vocabulary.STRUCTURES[key].is_finding
    assert set(detection.of) | set(detection.beside) <= set(vocabulary.STRUCTURES)
    assert len(detection.source) > 20


def test_every_finder_is_used() -> None:
    assert {detection.find for detection in load_detections().values()} == set(FINDERS)


def test_a_nodule_is_found_and_measured_and_a_vessel_is_none(new_scene: NewScene) -> None:
    scene = chest(new_scene)
    scene.draw(None, scene.ball((180, 80, 90), (8, 8, 8)), 40)
    scene.draw(None, scene.tube(70, 70, 5), 40)
    (nodule,) = facts_of(scene).finding("lung_nodule")
    assert (nodule.id, nodule.state, nodule.structure, nodule.side) == (
        "lung_nodule.1",
        "present",
        "lung_right",
        "right",
    )
    assert nodule.longest_mm == pytest.approx(16, abs=3)
    assert nodule.centre_ras == pytest.approx((180, 80, 90), abs=3)


def test_without_a_nodule_the_reason_tells_what_would_not_be_seen(new_scene: NewScene) -> None:
    (fact,) = facts_of(chest(new_scene)).finding("lung_nodule")
    assert (fact.state, fact.reason) == (
        "absent",
        "Nothing smaller than 6 mm or grown together with the mediastinum would be seen.",
    )
    (thick,) = facts_of(chest(new_scene, (2.0, 2.0, 5.0))).finding("lung_nodule")
    assert thick.reason.startswith("Nothing smaller than 12 mm ")


def test_nothing_is_absent_from_a_lung_that_the_scan_cuts(new_scene: NewScene) -> None:
    scene = chest(new_scene)
    scene.draw("lung_right", scene.ball((170, 70, 140), (40, 55, 65)), -850)
    (fact,) = facts_of(scene).finding("lung_nodule")
    assert fact.state == "not assessed"
    assert "whole right lung" in fact.reason


def test_fluid_sinks_to_the_back_and_a_consolidation_keeps_air(new_scene: NewScene) -> None:
    scene = chest(new_scene)
    low = scene.masks["lung_left"] & scene.block((0, 240), (0, 40), (0, 160))
    scene.draw(None, low, 8, noise=8)
    scene.draw(None, scene.ball((170, 75, 85), (22, 25, 25)), -60, noise=300)
    facts = facts_of(scene)
    assert [fact.state for fact in facts.finding("pleural_effusion_left")] == ["present"]
    assert [fact.state for fact in facts.finding("pleural_effusion_right")] == ["absent"]
    (fluid,) = facts.finding("pleural_effusion")
    assert fluid.volume_ml == pytest.approx(low.sum() * scene.voxel_mm3 / 1000, rel=0.15)
    assert [fact.state for fact in facts.finding("consolidation_right")] == ["present"]
    assert [fact.state for fact in facts.finding("consolidation_left")] == ["absent"]


def test_a_cyst_is_fluid_and_a_solid_spot_is_told_with_a_note(new_scene: NewScene) -> None:
    scene = belly(new_scene)
    scene.draw(None, scene.ball((175, 70, 90), (10, 10, 10)), 6)
    scene.draw(None, scene.ball((140, 75, 75), (9, 9, 9)), 75)
    scene.draw(None, scene.ball((50, 70, 100), (12, 12, 12)), 6)
    facts = facts_of(scene)
    (cyst,) = facts.finding("liver_cyst")
    assert cyst.longest_mm == pytest.approx(20, abs=3)
    assert cyst.mean_hu == pytest.approx(6, abs=15)
    (solid,) = facts.finding("liver_metastasis")
    assert solid.centre_ras == pytest.approx((140, 75, 75), abs=3)
    assert "does not tell its kind" in solid.reason
    (of_kidney,) = facts.finding("kidney_cyst")
    assert (of_kidney.key, of_kidney.side) == ("kidney_cyst_left", "left")


def test_nothing_dark_in_a_liver_excludes_no_metastasis(new_scene: NewScene) -> None:
    facts = facts_of(belly(new_scene))
    assert [fact.state for fact in facts.finding("liver_metastasis")] == ["not assessed"]
    assert [fact.state for fact in facts.finding("liver_cyst")] == ["absent"]


def test_what_the_source_marks_of_the_same_lesion_is_one_fact_with_its_mask(new_scene: NewScene) -> None:
    scene = belly(new_scene)
    scene.draw(None, scene.ball((175, 70, 90), (10, 10, 10)), 6)
    scene.draw(None, scene.ball((140, 75, 75), (9, 9, 9)), 6)
    marked = scene.ball((177, 70, 90), (9, 9, 9))
    facts = facts_of(scene, {"liver_cyst": [marked]})
    found = facts.finding("liver_cyst")
    assert len(found) == 2
    assert any(np.array_equal(facts.mask(fact), marked) for fact in found)


def test_a_search_needs_a_sure_organ(new_scene: NewScene) -> None:
    (fact,) = facts_of(belly(new_scene)).finding("spleen_cyst")
    assert (fact.state, fact.reason) == ("not assessed", "The spleen is not seen.")
    (far,) = facts_of(belly(new_scene), known_region="head and neck").finding("spleen_cyst")
    assert far.state == "outside the field of view"


def test_the_fat_in_the_middle_of_a_kidney_is_no_cyst(new_scene: NewScene) -> None:
    scene = belly(new_scene)
    scene.draw(None, scene.ball((50, 60, 80), (10, 10, 12)), -25, noise=25)
    assert [fact.state for fact in facts_of(scene).finding("kidney_cyst_left")] == ["absent"]


def test_nothing_is_absent_from_an_organ_whose_mask_has_a_hole(new_scene: NewScene) -> None:
    scene = belly(new_scene)
    hole = scene.ball((160, 70, 80), (12, 12, 12))
    scene.draw(None, hole, 6)
    scene.masks["liver"] = scene.masks["liver"] & ~hole
    (fact,) = facts_of(scene).finding("liver_cyst")
    assert fact.state == "not assessed"
    assert "has holes of at least" in fact.reason


def test_a_report_tells_a_nodule_in_the_lung_that_a_scan_of_the_abdomen_shows(new_scene: NewScene) -> None:
    scene = chest(new_scene)
    scene.draw(None, scene.ball((180, 80, 90), (8, 8, 8)), 40)
    table = facts_of(scene, known_region="abdomen").everything()
    assert [fact.state for fact in table if fact.key == "lung_nodule"] == ["present"]
    assert not [fact for fact in table if fact.key.startswith("consolidation")], "what is not found there is not denied"


@pytest.mark.parametrize(("beside_hu", "state"), [(60, "present"), (-100, "absent")])
def test_a_dark_edge_beside_fat_is_no_cyst(new_scene: NewScene, beside_hu: float, state: str) -> None:
    scene = new_scene(blood_hu=150, voxel_mm=(3.0, 3.0, 3.0), size_mm=(240.0, 150.0, 150.0))
    edge = scene.ball((104, 70, 75), (12, 12, 12))
    scene.draw(None, scene.ball((90, 70, 75), (40, 40, 40)), beside_hu)
    scene.draw("liver", scene.ball((160, 70, 75), (60, 50, 50)) | edge, 110, noise=8)
    scene.draw(None, edge, 5, noise=4)
    (fact,) = facts_of(scene).finding("liver_cyst")
    assert fact.state == state
