"""``segment`` of a finding's name marks what the facts hold of it: the same presence, voxels, volume and confidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.unit.tasks.measure.conftest import Scene

from medvlsam2.data import vocabulary
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.measure.candidates.detecting import BY_SEARCH, PARTLY_BY_SEARCH, Detecting
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import Segmentation, segment

CHEST = ("lung_nodule", "consolidation", "pleural_effusion", "pleural_effusion_left", "pleural_effusion_right")
BELLY = (
    "liver_cyst",
    "spleen_cyst",
    "kidney_cyst",
    "kidney_cyst_right",
    "liver_metastasis",
    "kidney_stone",
    "gallstone",
)


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


def drawn(blood_hu: float) -> Scene:
    """A scene whose aorta tells the contrast phase."""
    scene = Scene(size_mm=(240.0, 140.0, 160.0))
    return scene.draw("aorta", scene.tube(120, 40, 10), blood_hu)


def chest() -> Scene:
    scene = drawn(40)
    scene.draw("lung_left", scene.ball((70, 70, 80), (40, 55, 65)), -850, noise=20)
    scene.draw("lung_right", scene.ball((170, 70, 80), (40, 55, 65)), -850, noise=20)
    scene.draw(None, scene.masks["lung_left"] & scene.block((0, 240), (0, 40), (0, 160)), 8, noise=8)
    scene.draw(None, scene.ball((170, 75, 60), (22, 25, 20)), -60, noise=120)
    return scene.draw(None, scene.ball((175, 80, 115), (9, 9, 9)), 40)


def belly() -> Scene:
    scene = drawn(150)
    scene.draw("liver", scene.ball((175, 70, 110), (50, 50, 45)), 110, noise=5)
    scene.draw("spleen", scene.ball((50, 50, 115), (32, 32, 32)), 120, noise=5)
    scene.draw("kidney_left", scene.ball((50, 60, 40), (26, 26, 38)), 170, noise=5)
    scene.draw("kidney_right", scene.ball((180, 60, 30), (26, 26, 28)), 170, noise=5)
    scene.draw("gallbladder", scene.ball((140, 110, 40), (18, 18, 24)), 8, noise=5)
    scene.draw(None, scene.ball((185, 70, 125), (12, 12, 12)), 6)
    scene.draw(None, scene.ball((155, 75, 105), (11, 11, 11)), 75)
    scene.draw(None, scene.ball((50, 50, 115), (12, 12, 12)), 6)
    scene.draw(None, scene.ball((50, 60, 45), (13, 13, 13)), 6)
    scene.draw(None, scene.ball((180, 60, 30), (5, 5, 5)), 900)
    return scene.draw(None, scene.ball((140, 105, 40), (6, 6, 6)), 300)


def facts_of(scene: Scene, lesions: dict[str, list[np.ndarray]] | None = None) -> Facts:
    """Facts on a source that knows every finding by name, as a model that was taught all of them."""
    return Facts(Detecting(scene.facts(lesions, every_finding_is_given=True).source))


def asked(engine: Engine, facts: Facts, key: str) -> Segmentation:
    return segment(engine, facts.volume, [ObjectPrompt(vocabulary.STRUCTURES[key].name)], facts=facts)


def agree(engine: Engine, facts: Facts, key: str) -> Segmentation:
    """Ask for a name, and check that the answer is what the facts say."""
    found = asked(engine, facts, key)
    (result,) = found.objects
    lesions = [fact for fact in facts.finding(key) if fact.is_present]
    marked = np.logical_or.reduce([facts.mask(fact) for fact in lesions] or [np.zeros(facts.volume.shape_ijk, bool)])
    assert result.present == bool(lesions)
    assert ((found.label_map == 1) == marked).all()
    assert result.volume_ml == pytest.approx(sum(fact.volume_ml or 0.0 for fact in lesions), rel=1e-6)
    sure = [fact.confidence for fact in facts.finding(key) if fact.confidence is not None]
    assert result.confidence == min(sure, default=0.0)
    return found


@pytest.mark.parametrize(
    ("scene", "key"), [*((chest, key) for key in CHEST), *((belly, key) for key in BELLY)], ids=[*CHEST, *BELLY]
)
def test_a_finding_by_name_is_that_of_the_facts(engine: Engine, scene: Callable[[], Scene], key: str) -> None:
    facts = facts_of(scene())
    found = agree(engine, facts, key)
    is_one_that_lies_elsewhere = key in ("pleural_effusion_right", "kidney_cyst_right")
    assert found.objects[0].present is not is_one_that_lies_elsewhere
    is_told = any(BY_SEARCH in warning for warning in found.warnings)
    assert is_told is (found.objects[0].present and key not in facts.rules)


def test_what_measuring_disproves_is_not_marked(engine: Engine) -> None:
    scene = belly()
    solid = scene.ball((155, 75, 105), (11, 11, 11))
    facts = facts_of(scene, {"liver_cyst": [solid]})
    (fact,) = facts.finding("liver_cyst")
    assert fact.is_present
    assert not agree(engine, facts, "liver_cyst").label_map[solid].any()


def test_what_only_the_search_finds_is_told_beside_what_the_source_marks(engine: Engine) -> None:
    scene = belly()
    scene.draw(None, scene.ball((170, 45, 90), (10, 10, 10)), 6)
    facts = facts_of(scene, {"liver_cyst": [scene.ball((185, 70, 125), (12, 12, 12))]})
    found = agree(engine, facts, "liver_cyst")
    assert len(facts.finding("liver_cyst")) == 2
    assert any(PARTLY_BY_SEARCH in warning for warning in found.warnings)


@pytest.mark.parametrize("phrase", ["hepatic cyst", "cysts of the liver", "liver cysts"])
def test_other_words_for_a_finding_mean_the_same_mask(engine: Engine, phrase: str) -> None:
    facts = facts_of(belly())
    plain = asked(engine, facts, "liver_cyst")
    other = segment(engine, facts.volume, [ObjectPrompt(phrase)], facts=facts)
    assert plain.label_map.any()
    assert (plain.label_map == other.label_map).all()


def test_a_click_is_answered_by_the_model(engine: Engine) -> None:
    facts = facts_of(belly())
    clicked = ObjectPrompt("liver cyst", points_ijk=((5.0, 5.0, 5.0),), point_labels=(1,))
    found = segment(engine, facts.volume, [clicked], facts=facts)
    assert found.objects[0].expression is None
    assert found.label_map[5, 5, 5] == 1
