"""Findings that may lie on both sides, or in several vertebrae: each is told, and no side is taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.unit.tasks.measure.conftest import Scene as Drawing

from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene

Stones = Mapping[tuple[float, float, float], float]
"""Radius in mm of each stone, by its centre."""
LEFT: Stones = {(60, 60, 130): 4}
RIGHT: Stones = {(180, 60, 130): 5, (180, 60, 100): 7}
OUTSIDE = "outside the field of view"


def kidneys(stones: Stones, right_z: float | None = 120, **known: Any) -> Facts:
    """A scan without contrast, with two kidneys; ``right_z`` is the height of the right one, None without a label."""
    drawing = Drawing().draw("aorta", Drawing().tube(120, 40, 10), 40)
    drawing.draw("kidney_left", drawing.ball((60, 60, 120), (28, 28, 50)), 30, noise=15)
    if right_z is not None:
        drawing.draw("kidney_right", drawing.ball((180, 60, right_z), (28, 28, 50)), 30, noise=15)
    for centre, radius in stones.items():
        drawing.draw(None, drawing.ball(centre, (radius, radius, radius)), 900)
    return drawing.facts(**known)


def ask(facts: Facts, query: str) -> Outcome:
    return execute(read_query(query), Scene(facts))


def told(facts: Facts, query: str) -> object:
    """The value, or the state where there is none."""
    outcome = ask(facts, query)
    return outcome.state if outcome.value is None else outcome.value


BOTH_WORDINGS = ("kidney stone in {} kidney", "kidney stone on the {}")


@pytest.mark.parametrize("words", BOTH_WORDINGS)
@pytest.mark.parametrize(
    ("stones", "left", "right"), [({**LEFT, **RIGHT}, 1, 2), (RIGHT, 0, 2), (LEFT, 1, 0), ({}, 0, 0)]
)
def test_each_side_has_its_own_stones(stones: Stones, left: int, right: int, words: str) -> None:
    facts = kidneys(stones)
    for side, count in (("left", left), ("right", right)):
        assert told(facts, f"presence of {words.format(side)}") is (count > 0)
        assert told(facts, f"count of {words.format(side)}") == count
        outcome = ask(facts, f"volume of {words.format(side)}")
        assert (outcome.value is not None) == (count > 0)
    assert told(facts, "count of kidney stone") == left + right
    side = "both" if left and right else "left" if left else "right"
    assert told(facts, "side of kidney stone") == (side if stones else "absent")


def test_stones_of_both_kidneys_are_facts_of_their_own() -> None:
    facts = kidneys({**LEFT, **RIGHT})
    table = facts.everything()
    stones = table.of_key("kidney_stone")
    assert [stone.id for stone in stones] == ["kidney_stone_left.1", "kidney_stone_right.1", "kidney_stone_right.2"]
    for stone in stones:
        assert (stone.structure, stone.side) == (f"kidney_{stone.side}", stone.side)
        assert stone.centre_ras is not None
        assert (stone.centre_ras[0] > 120) == (stone.side == "right")
        assert stone.volume_ml == pytest.approx(facts.mask(stone).sum() * 0.027)
    whole = facts.rule("kidney_stone")
    assert (whole.state, whole.side, whole.structure) == ("present", None, "kidneys")
    union = np.logical_or.reduce([facts.mask(stone) for stone in stones])
    assert np.array_equal(facts.mask(whole), union)
    assert ask(facts, "volume of kidney stone").value == pytest.approx(union.sum() * 0.027)
    assert set(ask(facts, "location of kidney stone").value or ()) == {"left kidney", "right kidney"}
    assert ask(facts, "list of findings in right kidney").fact_ids == ("kidney_stone_right.1", "kidney_stone_right.2")


@pytest.mark.parametrize("words", BOTH_WORDINGS)
@pytest.mark.parametrize(
    ("right_z", "known", "state"),
    [
        (None, {"absent": frozenset({"kidney_right"}), "known_region": "chest"}, OUTSIDE),
        (None, {"known_region": "abdomen"}, "not assessed"),
        (-20, {"known_region": "abdomen"}, "not assessed"),
    ],
)
def test_the_side_that_is_not_shown_is_never_called_free(
    right_z: float | None, known: dict[str, Any], state: str, words: str
) -> None:
    for stones, left in ((LEFT, 1), ({}, 0)):
        facts = kidneys(stones, right_z, **known)
        assert told(facts, f"presence of {words.format('left')}") is bool(left)
        assert told(facts, f"count of {words.format('left')}") == left
        assert told(facts, f"presence of {words.format('right')}") == state
        assert told(facts, f"count of {words.format('right')}") == state
        everywhere = ask(facts, "count of kidney stone")
        if left:
            assert everywhere.value == 1
            assert "right kidney" in everywhere.reason
            assert "right kidney" in ask(facts, "side of kidney stone").reason
        else:
            assert (everywhere.value, everywhere.state) == (None, "not assessed")
        table = facts.everything()
        assert {fact.side: fact.state for fact in table.of_key("kidney_stone")} == {
            "left": "present" if left else "absent",
            "right": state,
        }


def test_several_gallstones_are_counted() -> None:
    drawing = Drawing().draw("aorta", Drawing().tube(120, 40, 10), 40)
    drawing.draw("gallbladder", drawing.ball((160, 110, 120), (18, 18, 30)), 8, noise=8)
    for z in (105, 120, 135):
        drawing.draw(None, drawing.ball((160, 105, z), (5, 5, 5)), 300)
    facts = drawing.facts()
    assert told(facts, "count of gallstone") == 3
    assert [stone.id for stone in facts.finding("gallstone")] == ["gallstone.1", "gallstone.2", "gallstone.3"]


def cysts(key: str, left: bool, **known: Any) -> Facts:
    drawing = Drawing()
    drawing.draw("kidney_left", drawing.ball((60, 60, 120), (28, 28, 50)), 30)
    drawing.draw("lung_left", drawing.block((20, 100), (100, 160), (20, 220)), -850)
    cyst = drawing.ball((60, 60, 130) if "kidney" in key else (60, 130, 100), (8, 8, 8))
    drawing.draw(None, cyst, 5)
    lesions = {f"{key}_left" if "kidney" in key else key: [cyst]} if left else {}
    return drawing.facts(lesions, every_finding_is_given=True, known_region="chest and abdomen", **known)


@pytest.mark.parametrize(("key", "organ"), [("kidney_cyst", "kidney"), ("lung_nodule", "lung")])
def test_marked_findings_are_not_denied_in_an_organ_that_is_not_seen(key: str, organ: str) -> None:
    name = key.replace("_", " ")
    for left in (True, False):
        facts = cysts(key, left)
        assert told(facts, f"presence of {name} in left {organ}") is left
        for words in (f"{name} in right {organ}", f"{name} on the right"):
            assert told(facts, f"presence of {words}") == "not assessed"
        if left:
            assert f"right {organ}" in ask(facts, f"count of {name}").reason
        else:
            assert told(facts, f"presence of {name}") == "not assessed"


def spine(collapsed: tuple[int, ...]) -> Facts:
    """Vertebrae T11 to L4, of which some have half of their height."""
    drawing = Drawing()
    for number, level in enumerate(("L4", "L3", "L2", "L1", "T12", "T11")):
        z, height = 30 + 35 * number, 12 if number in collapsed else 24
        drawing.draw(f"vertebrae_{level}", drawing.block((100, 140), (40, 75), (z, z + height)), 150)
    return drawing.facts(known_region="abdomen")


def test_each_fractured_vertebra_is_told() -> None:
    facts = spine((1, 4))
    assert told(facts, "count of vertebral fracture") == 2
    assert set(ask(facts, "location of vertebral fracture").value or ()) == {"L3 vertebra", "T12 vertebra"}
    levels = {fact.structure for fact in facts.everything().of_key("vertebral_fracture")}
    assert levels == {"vertebrae_L3", "vertebrae_T12"}
    assert [told(facts, f"whether {level} vertebra is fractured") for level in ("L3", "T12", "L1")] == [
        True,
        True,
        False,
    ]
    assert told(facts, "whether L4 vertebra is fractured") == "not assessed", "nothing below is seen to compare with"


def test_the_density_of_one_vertebra_is_not_that_of_another() -> None:
    facts = spine(())
    assert told(facts, "whether L1 vertebra is porous") is False
    assert told(facts, "whether L3 vertebra is porous") == "not assessed"


def test_emphysema_is_told_of_each_lung() -> None:
    drawing = Drawing()
    drawing.draw("lung_left", drawing.block((20, 100), (40, 140), (20, 220)), -850)
    drawing.draw("lung_right", drawing.block((140, 220), (40, 140), (20, 220)), -850)
    drawing.draw(None, drawing.block((140, 220), (100, 140), (20, 220)), -980)
    facts = drawing.facts(every_finding_is_given=True, known_region="chest")
    asked = [told(facts, f"whether {name} is emphysematous") for name in ("left lung", "right lung", "lungs")]
    assert asked == [False, True, True]


def test_the_mask_of_a_stone_is_kept_under_its_id() -> None:
    facts = kidneys(RIGHT)
    outcome = ask(facts, "volume of kidney stone in right kidney")
    assert outcome.masks[0] == "kidney_stone_right.1"
    assert isinstance(facts.kept_mask("kidney_stone_right.1"), KeptMask)
