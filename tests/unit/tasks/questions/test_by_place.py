"""What the place of a scan on the body answers where no mask does: presence, and the likeliest of several choices."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.tasks.questions.conftest import facts_of_phantom

from medvlsam2.data import phantom
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.questions.answering import Told, told
from medvlsam2.tasks.questions.executing.scene import Scene

HIDDEN = ("vertebrae_L2", "vertebrae_L1", "spleen", "kidney_left")


@pytest.fixture(scope="module")
def facts() -> Facts:
    config = phantom.PhantomConfig(region="abdomen", max_voxels=100_000, num_lesions=0, oblique_degrees=0.0)
    drawn = phantom.generate(620_001, config)
    truth = {key: drawn.label_map == value for value, key in drawn.labels.items() if key not in HIDDEN}
    return Facts(GivenMasks.of_truth(drawn.volume, truth))


def ask(facts: Facts, query: str, question: str, choices: Sequence[str] = (), kind: str | None = None) -> Told:
    def guess() -> int:
        raise AssertionError("nothing is guessed")

    return told(question, read_query(query), Scene(facts), choices=choices, kind=kind, guess=guess)


def test_a_vertebra_is_visible_by_its_place(facts: Facts) -> None:
    question = "Is the L2 vertebra visible?"
    answer = ask(facts, "presence of L2 vertebra", question)
    assert answer.text.startswith("Yes, by its place the L2 vertebra is in the field of view. The scan covers about T")
    assert answer.text.endswith("It is not marked reliably, so nothing was measured.")
    assert answer.outcome is not None
    assert (answer.outcome.value, answer.outcome.masks) == (True, ())
    assert ask(facts, "presence of L2 vertebra", question, kind="short").text == "Yes"
    both = ask(facts, "presence of L2 vertebra and L1 vertebra", "Are L1 and L2 visible?").text
    assert both.startswith("Yes, by their place the L2 vertebra and the L1 vertebra are in the field of view.")


def test_an_organ_that_may_be_missing_is_not_assessed_and_its_size_is_not_told(facts: Facts) -> None:
    assert ask(facts, "presence of spleen", "Is the spleen visible?").text.startswith("Not assessed")
    assert ask(facts, "volume of L2 vertebra", "How large is L2?").text.startswith("Not assessed")


def test_what_lies_far_away_is_not_visible(facts: Facts) -> None:
    answer = ask(facts, "presence of S1 vertebra", "Is S1 visible?").text
    assert answer.startswith("No, the S1 vertebra is not visible: the scan covers about T")
    assert answer.endswith("mm below.")


@pytest.mark.parametrize(
    ("question", "choices", "index"),
    [
        ("Which of these is visible?", ["brain", "left kidney", "left hip", "skull"], 1),
        ("Which of these is visible?", ["brain", "vertebra L2", "left hip", "prostate"], 1),
        ("Which of these is not visible?", ["liver", "brain", "vertebra L2", "left kidney"], 1),
        ("Which of these is not visible?", ["liver", "aorta", "trachea", "mandible"], 3),
    ],
)
def test_the_likeliest_choice_is_taken(facts: Facts, question: str, choices: list[str], index: int) -> None:
    assert ask(facts, "list of structures", question, choices).choice_index == index


def test_the_region_is_told_with_its_levels(facts: Facts) -> None:
    assert ask(facts, "region", "What does the scan show?").text.startswith(
        "This scan shows the abdomen. It covers about T"
    )


def test_true_masks_come_before_the_place(small_phantom: phantom.Phantom) -> None:
    answer = ask(facts_of_phantom(small_phantom), "presence of liver", "Is the liver visible?")
    assert answer.text == "Yes, the liver is visible."
