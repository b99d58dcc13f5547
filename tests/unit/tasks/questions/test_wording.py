"""Answers in words say what was computed: yes or no first, the unit that was asked for, and what is not known."""

from __future__ import annotations

import re

import pytest
from tests.unit.tasks.questions.conftest import Ask

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.replying.polar import polar_answer
from medvlsam2.tasks.questions.replying.sentences import full_sentence, short_answer
from medvlsam2.tasks.questions.replying.understood import understood


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("presence of liver", "Yes, the liver is visible."),
        ("presence of brain", "No, the brain is not visible, as the scan does not show its place. The scan shows"),
        ("presence of liver and brain", "No, the liver is visible, but the brain is not visible."),
        ("presence of liver cyst", "No, no liver cyst is seen."),
        ("presence of left hydronephrosis", "Yes, there is a left hydronephrosis"),
        ("count of kidneys", "There are two kidneys."),
        ("count of liver cyst", "There are no liver cysts."),
        ("side of spleen", "The spleen is on the left side."),
        ("side of kidneys", "The kidneys are on both sides."),
        ("volume of liver cyst", "No liver cyst is seen."),
        ("volume of brain", "The brain is outside the field of view: the scan shows the abdomen"),
        ("region", "This scan shows the abdomen."),
        ("phase", "This scan is in the portal venous phase."),
        ("plane", "The slices are axial."),
        ("whether spleen is enlarged", "No, the spleen is not enlarged ("),
        ("list of findings in left kidney", "This finding is seen in the left kidney: left hydronephrosis ("),
        ("list of findings in spleen", "No finding is seen in the spleen among those that can be assessed."),
        ("greatest volume of left kidney or right kidney", "The right kidney is larger than the left kidney ("),
    ],
)
def test_sentences(ask: Ask, query: str, start: str) -> None:
    assert full_sentence(ask(query)).startswith(start)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("presence of liver", "Yes"),
        ("presence of brain", "No"),
        ("count of kidneys", "two"),
        ("side of spleen", "left"),
        ("region", "abdomen"),
        ("greatest volume of left kidney or right kidney", "right kidney"),
        ("list of findings in spleen", "none"),
        ("volume of brain", "Outside the field of view"),
        ("volume of liver cyst", "Not seen"),
    ],
)
def test_short_answers(ask: Ask, query: str, words: str) -> None:
    assert short_answer(ask(query)) == words


def test_every_number_of_a_sentence_is_one_of_the_outcome(ask: Ask) -> None:
    outcome = ask("ratio of volume of left kidney to right kidney, %")
    assert isinstance(outcome.value, float)
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", full_sentence(outcome))]
    known = [outcome.value, *outcome.detail.values()]
    assert len(numbers) == 3
    for number in numbers:
        assert min(abs(number - each) / each for each in known) < 0.01, number


def test_a_cut_organ_has_at_least_its_volume(ask: Ask) -> None:
    assert re.fullmatch(
        r"The volume of the liver is at least 1\.39 L; the scan ends within the liver\.",
        full_sentence(ask("volume of liver, L")),
    )
    assert short_answer(ask("volume of liver")).startswith("at least 1,3")
    assert "at least" not in full_sentence(ask("density of liver"))


def test_what_is_not_assessed_says_why() -> None:
    query = read_query("volume of tongue")
    things = Things(read_query("presence of tongue").target, "not assessed", "The model does not know the tongue.")
    outcome = Outcome(query=query, state="not assessed", reason=things.reason, things=(things,))
    assert full_sentence(outcome) == "Not assessed: the model does not know the tongue."
    assert short_answer(outcome) == "Not assessed"


def test_several_findings_are_counted_and_the_largest_is_measured() -> None:
    def cyst(number: int, longest_mm: float) -> Fact:
        return Fact(
            id=f"liver_cyst.{number}",
            key="liver_cyst",
            kind="finding",
            name="liver cyst",
            state="present",
            longest_mm=longest_mm,
        )

    query = read_query("presence of liver cyst")
    each = (cyst(1, 21.4), cyst(2, 9.0))
    outcome = Outcome(query=query, value=True, things=(Things(query.target, "present", whole=each[0], each=each),))
    assert full_sentence(outcome) == "Yes, there are two liver cysts; the largest measures 21 mm."


@pytest.mark.parametrize(
    ("question", "query", "answer"),
    [
        ("Is any abnormality seen?", "list of findings", True),
        ("Is the scan normal?", "list of findings", False),
        ("Was contrast given?", "phase", True),
        ("Is this an arterial phase scan?", "phase", False),
        ("Is this an MRI?", "modality", False),
        ("Is this a scan of the abdomen?", "region", True),
        ("Is the spleen on the right?", "side of spleen", False),
        ("Is the spleen on the left or on the right?", "side of spleen", None),
        ("Which findings are there?", "list of findings", None),
        ("Is the liver visible?", "presence of liver", None),
        ("Isn't the liver visible?", "presence of liver", None),
        ("Is the spleen missing?", "presence of spleen", False),
        ("Are there no liver cysts?", "presence of liver cyst", True),
        ("Is the left kidney abnormal?", "whether left kidney is normal", True),
        ("Is the spleen normal in size?", "whether spleen is enlarged", True),
    ],
)
def test_questions_that_want_yes_or_no(ask: Ask, question: str, query: str, answer: bool | None) -> None:
    outcome = ask(query)
    assert polar_answer(question, outcome) is answer
    if answer is not None:
        assert short_answer(outcome, answer) == ("Yes" if answer else "No")
        assert full_sentence(outcome, answer).startswith("Yes, " if answer else "No, ")


def test_the_opposite_of_a_query_is_answered_with_what_is_there(ask: Ask) -> None:
    outcome = ask("presence of spleen")
    assert full_sentence(outcome, polar_answer("Is the spleen missing?", outcome)) == "No, the spleen is visible."
    outcome = ask("presence of liver cyst")
    assert full_sentence(outcome, polar_answer("No cysts in the liver?", outcome)) == "No, no liver cyst is seen."


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("volume of left kidney, mL", "the volume of the left kidney in mL"),
        ("side of largest kidneys", "on which side of the patient the largest kidney lies"),
        ("distance from liver to spleen", "the shortest distance from the liver to the spleen"),
        ("whether volume of liver is more than 1.5 L", "whether the volume of the liver is more than 1.5 L"),
        ("list of findings in liver", "which findings are seen in the liver"),
        ("phase", "the contrast phase"),
        ("decline identity", "a question about who the patient is"),
    ],
)
def test_how_a_question_was_understood(query: str, words: str) -> None:
    assert understood(read_query(query)) == words
