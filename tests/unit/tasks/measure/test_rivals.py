"""Of two findings that are marked on the same voxels, only the surer one is told, and only that one is marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.tasks.measure.test_fact_source import SHAPE, VOLUME, Counted, block

from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.measure.candidates.detecting import Detecting
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks, given
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

ORGANS = given({"liver": block(22, size=8), "kidney_left": block(4, size=8), "kidney_right": block(32, size=8)})


def facts_of(lesions: dict[str, list[np.ndarray]], **confidence: float) -> Facts:
    kept = {key: tuple(mask for one in each if (mask := KeptMask.of(one))) for key, each in lesions.items()}
    return Facts(Counted(GivenMasks(VOLUME, ORGANS, kept, known_region="abdomen"), confidence))


def told(facts: Facts, key: str) -> list[str]:
    return [fact.state for fact in facts.finding(key)]


@pytest.mark.parametrize(("cyst", "dilated"), [(0.9, 0.6), (0.6, 0.9)])
def test_the_surer_of_two_names_of_one_spot_is_told(cyst: float, dilated: float) -> None:
    spot = block(5, 22, size=4)
    marks = {"kidney_cyst_left": [spot], "hydronephrosis_left": [spot | block(6, 22, size=4)]}
    facts = facts_of(marks, kidney_cyst_left=cyst, hydronephrosis_left=dilated)
    winner, loser = ("kidney_cyst", "hydronephrosis") if cyst > dilated else ("hydronephrosis", "kidney_cyst")
    for key in (winner, f"{winner}_left"):
        assert told(facts, key) == ["present"]
    for key in (loser, f"{loser}_left"):
        (fact,) = facts.finding(key)
        assert (fact.id, fact.state) == (key, "not assessed")
        assert fact.reason.endswith("too, and more surely.")
    present = {fact.key for fact in facts.everything() if fact.is_present and fact.kind == "finding"}
    assert present == {f"{winner}_left"}


def test_a_spot_of_a_liver_is_a_cyst_or_a_metastasis() -> None:
    spot = block(23, 22, size=4)
    facts = facts_of({"liver_cyst": [spot], "liver_metastasis": [spot]}, liver_cyst=0.7, liver_metastasis=0.8)
    assert (told(facts, "liver_cyst"), told(facts, "liver_metastasis")) == (["not assessed"], ["present"])


def test_other_lesions_of_the_less_sure_name_stay(tiny_model_dir: Path) -> None:
    spot, other = block(23, 22, size=4), block(28, 26, size=2)
    facts = facts_of({"liver_cyst": [spot, other], "liver_metastasis": [spot]}, liver_cyst=0.7, liver_metastasis=0.8)
    assert told(facts, "liver_cyst") == ["present"]
    found = segment(Engine(tiny_model_dir), VOLUME, [ObjectPrompt("liver cyst")], facts=facts)
    assert ((found.label_map == 1) == other).all()


def test_spots_that_share_less_than_half_are_two() -> None:
    one, other = block(23, 22, size=4), block(26, 22, size=4)
    facts = facts_of({"liver_cyst": [one], "liver_metastasis": [other]}, liver_cyst=0.7, liver_metastasis=0.8)
    assert (told(facts, "liver_cyst"), told(facts, "liver_metastasis")) == (["present"], ["present"])


def test_what_measuring_disproves_displaces_nothing() -> None:
    spot = block(23, 22, size=4)
    hu = np.full(SHAPE, 75, dtype=np.int16)
    masks = {key: (KeptMask.of(spot),) for key in ("liver_cyst", "liver_metastasis")}
    volume = type(VOLUME)(hu, VOLUME.affine, "solid")
    source = Counted(GivenMasks(volume, ORGANS, masks, known_region="abdomen"), {"liver_metastasis": 0.6})  # type: ignore[arg-type]
    assert (told(Facts(source), "liver_cyst"), told(Facts(source), "liver_metastasis")) == (
        ["not assessed"],
        ["present"],
    )


def test_a_sure_mark_displaces_what_only_a_search_found() -> None:
    hu = np.full(SHAPE, 60, dtype=np.int16)
    liver, spot = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    away = np.indices(SHAPE).reshape(3, -1).T * (4.0, 4.0, 5.0) - (80.0, 60.0, 125.0)
    liver, spot = ((np.linalg.norm(away, axis=1) <= radius).reshape(SHAPE) for radius in (50, 18))
    hu[liver], hu[spot] = 110, 6
    volume = type(VOLUME)(hu, VOLUME.affine, "spot")
    masks = GivenMasks(volume, given({"liver": liver}), known_region="abdomen")
    assert told(Facts(Detecting(masks)), "liver_cyst") == ["present"]
    ascites = GivenMasks(volume, given({"liver": liver}), {"ascites": tuple(given({"a": spot}).values())})
    assert told(Facts(Detecting(ascites)), "liver_cyst") == ["not assessed"]
