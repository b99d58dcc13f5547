"""The choice that is taken agrees with what was computed; where none agrees, the nearest is marked as such."""

from __future__ import annotations

import pytest

from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.questions.executing.outcome import Outcome, Value
from medvlsam2.tasks.questions.replying.choices import Choice, chosen, keys_of


def outcome(query: str, value: Value, unit: str = "") -> Outcome:
    return Outcome(query=read_query(query), value=value, unit=unit)


VOLUME = outcome("volume of liver, mL", 1121.348, "mL")
DIAMETER = outcome("length of liver cyst", 18.2, "mm")


@pytest.mark.parametrize(
    ("given", "choices", "index"),
    [
        (outcome("presence of liver", True), ["No", "Yes"], 1),
        (outcome("presence of liver", False), ["Yes, it is", "No, it is not"], 1),
        (VOLUME, ["18 mL", "1100 mL", "2.1 L"], 1),
        (VOLUME, ["0.5 L", "1.12 L", "1.9 L"], 1),
        (VOLUME, ["less than 1000 mL", "1000-1500 mL", "more than 1500 mL"], 1),
        (VOLUME, ["under 1 L", "over 1 L"], 1),
        (VOLUME, ["1,121 cc", "900 cc"], 0),
        (DIAMETER, ["10 mm", "18 mm", "33 mm"], 1),
        (DIAMETER, ["1.8 cm", "3.3 cm"], 0),
        (outcome("count of vertebrae", 6), ["5", "six", "7"], 1),
        (outcome("count of liver cyst", 0), ["one", "none", "two"], 1),
        (outcome("side of spleen", "left"), ["right", "left", "both"], 1),
        (outcome("side of kidneys", "both"), ["left", "right", "both sides"], 2),
        (outcome("location of liver cyst", "left kidney"), ["right kidney", "the left kidney", "liver"], 1),
        (outcome("greatest volume of left kidney or right kidney", "right kidney"), ["lt kidney", "rt kidney"], 1),
        (outcome("phase", "portal venous"), ["arterial", "non-contrast", "portal venous"], 2),
        (outcome("list of findings in liver", ("left kidney cyst",)), ["stone", "cyst", "metastasis"], 1),
        (outcome("list of findings", ()), ["cyst", "no abnormality"], 1),
        (outcome("whether spleen is enlarged", False), ["enlarged", "normal"], 1),
    ],
)
def test_the_choice_that_agrees(given: Outcome, choices: list[str], index: int) -> None:
    assert chosen(choices, given) == Choice(index, agrees=True)


def test_no_choice_that_agrees_is_said() -> None:
    assert chosen(["500 mL", "800 mL"], VOLUME) == Choice(1, agrees=False)
    assert chosen(["liver", "spleen"], VOLUME) is None
    assert chosen(["12 mm", "18 mm"], VOLUME) is None, "millimetres are no volume"
    assert chosen(["4", "5"], outcome("count of vertebrae", 6)) == Choice(1, agrees=False)


def test_left_is_not_taken_for_right() -> None:
    assert chosen(["right", "both"], outcome("side of spleen", "left")) is None
    assert chosen(["right kidney"], outcome("location of liver cyst", "left kidney")) == Choice(0, agrees=False)


def test_names_of_choices_are_those_of_the_vocabulary() -> None:
    assert keys_of(["A. the liver", "Lt. kidney"]) == ("liver", "kidney_left")
    assert keys_of(["liver", "yes"]) is None
