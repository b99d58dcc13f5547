"""Rules of the spine and of the slice through L3: found, not found, not assessed where a condition is not met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NewScene = Callable[..., Any]
LEVELS = ("T11", "T12", "L1", "L2", "L3")


def with_spine(scene: Any, *, front_mm: dict[str, float] | None = None, marrow_hu: float = 180) -> Any:
    """Vertebral bodies of 27 mm height with a cortex; some are lower in front."""
    for number, level in enumerate(LEVELS):
        low = 39.0 + 36 * (len(LEVELS) - 1 - number)
        body = scene.block((99, 141), (21, 57), (low, low + 27))
        lost = 27 - (front_mm or {}).get(level, 27)
        body &= ~scene.block((0, 240), (39, 180), (low + 27 - lost, low + 27))
        core = scene.block((102, 138), (24, 54), (low + 3, low + 24))
        scene.draw(f"vertebrae_{level}", body, 600).draw(None, core & body, marrow_hu)
    return scene


@pytest.mark.parametrize(("marrow_hu", "state"), [(80, "present"), (160, "absent")])
def test_the_density_of_spongy_bone(new_scene: NewScene, marrow_hu: float, state: str) -> None:
    scene = with_spine(new_scene(), marrow_hu=marrow_hu)
    fact = scene.facts().rule("low_vertebral_density")
    assert (fact.state, fact.structure, fact.value) == (state, "vertebrae_L1", pytest.approx(marrow_hu))
    assert new_scene().facts().rule("low_vertebral_density").state == "not assessed"


def test_another_vertebra_stands_for_l1(new_scene: NewScene) -> None:
    scene = with_spine(new_scene())
    del scene.masks["vertebrae_L1"]
    assert scene.facts().rule("low_vertebral_density").evidence == ("vertebrae_T12",)


@pytest.mark.parametrize(("front", "label"), [(18.0, "moderate, L1"), (9.0, "severe, L1")])
def test_a_wedged_vertebra(new_scene: NewScene, front: float, label: str) -> None:
    fact = with_spine(new_scene(), front_mm={"L1": front}).facts().rule("vertebral_fracture")
    assert (fact.state, fact.structure, fact.label) == ("present", "vertebrae_L1", label)
    assert fact.value == pytest.approx(100 * (27 - front) / 27, abs=6)


def test_a_straight_spine_has_no_fracture(new_scene: NewScene) -> None:
    fact = with_spine(new_scene()).facts().rule("vertebral_fracture")
    assert (fact.state, fact.value, fact.label) == ("absent", 0.0, "")
    assert fact.reason.endswith("3.")


def test_heights_need_three_vertebrae_in_a_row_and_thin_slices(new_scene: NewScene) -> None:
    scene = with_spine(new_scene(), front_mm={"L1": 9.0})
    del scene.masks["vertebrae_T12"], scene.masks["vertebrae_L2"]
    assert "in a row" in scene.facts().rule("vertebral_fracture").reason
    thick = with_spine(new_scene(voxel_mm=(3.0, 3.0, 5.0)), front_mm={"L1": 9.0})
    assert "5.0 mm apart" in thick.facts().rule("vertebral_fracture").reason


@pytest.mark.parametrize(
    ("key", "tissue", "hu", "states"),
    [
        ("low_muscle_area", "skeletal_muscle", 50, ("present", "absent")),
        ("high_visceral_fat", "torso_fat", -100, ("absent", "present")),
    ],
)
def test_areas_at_l3(new_scene: NewScene, key: str, tissue: str, hu: int, states: tuple[str, str]) -> None:
    for width, state in zip((100.0, 160.0), states, strict=True):
        scene = with_spine(new_scene())
        scene.draw(tissue, scene.block((20, 20 + width), (70, 150), (20, 220)), hu)
        scene.draw(None, scene.block((20, 40), (70, 150), (150, 220)), 300)  # elsewhere than at L3
        fact = scene.facts().rule(key)
        assert (fact.state, fact.unit) == (state, "cm2")
        assert fact.value == pytest.approx(width * 80 / 100, abs=4)
    assert with_spine(new_scene()).facts().rule(key).state == "not assessed"
