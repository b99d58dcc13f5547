"""Answers in words say what was computed: yes or no first, the unit that was asked for, and what is not known."""

from __future__ import annotations

import re

import answer_sentences
import pytest
from tests.unit.tasks.questions.conftest import Ask

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.replying.polar import polar_answer, yes_no
from medvlsam2.tasks.questions.replying.sentences import full_sentence, short_answer
from medvlsam2.tasks.questions.replying.understood import understood


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("presence of liver", "Yes, the liver is visible."),
        (
            "presence of brain",
            "No, the brain is not visible: the scan covers about T10 to L4, and the brain lies about 330 mm above.",
        ),
        ("presence of liver and brain", "No, the liver is visible, but the brain is not visible."),
        ("presence of liver cyst", "No, no liver cyst is seen."),
        ("presence of left hydronephrosis", "Yes, there is left hydronephrosis, which measures "),
        ("count of kidneys", "There are two kidneys."),
        ("count of liver cyst", "There are no liver cysts."),
        ("side of spleen", "The spleen is on the left side."),
        ("side of kidneys", "The kidneys are on both sides."),
        ("volume of liver cyst", "No liver cyst is seen."),
        ("volume of brain", "The brain is outside the field of view: the scan covers about T10 to L4"),
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
        ("count of liver cyst", "none"),
        ("list of vertebrae", "vertebrae T10 to L3"),
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
        asked = yes_no(question, outcome)
        assert short_answer(outcome, asked).startswith("Yes" if answer else "No")
        assert full_sentence(outcome, asked).startswith("Yes, " if answer else "No, ")


def test_the_opposite_of_a_query_is_answered_with_what_is_there(ask: Ask) -> None:
    outcome = ask("presence of spleen")
    assert full_sentence(outcome, yes_no("Is the spleen missing?", outcome)) == "No, the spleen is visible."


@pytest.mark.parametrize(
    ("question", "query", "text"),
    [
        ("No cysts in the liver?", "presence of liver cyst", "Yes, that is right: no liver cyst is seen."),
        ("Are there no cysts?", "presence of liver cyst", "Yes, that is right: no liver cyst is seen."),
        ("There is no liver cyst, is there?", "presence of liver cyst", "Yes, that is right: no liver cyst is seen."),
        ("Is the spleen not visible?", "presence of spleen", "No, that is not right: the spleen is visible."),
        ("Isn't the spleen visible?", "presence of spleen", "Yes, the spleen is visible."),
        ("Is the spleen not enlarged?", "whether spleen is enlarged", "Yes, that is right: the spleen is not enlarged"),
        ("Isn't the spleen enlarged?", "whether spleen is enlarged", "No, the spleen is not enlarged"),
        ("Is the spleen enlarged or not?", "whether spleen is enlarged", "No, the spleen is not enlarged"),
        ("Nothing abnormal?", "list of findings", "No, that is not right: these findings are seen: "),
        ("Is the brain missing?", "presence of brain", "Not assessed: the brain is outside the field of view. "),
        (
            "Is the brain enlarged?",
            "whether brain is enlarged",
            "Not assessed: the brain is outside the field of view.",
        ),
    ],
)
def test_a_negated_question_has_an_answer_of_one_meaning(ask: Ask, question: str, query: str, text: str) -> None:
    """ "No cysts?" was answered "No, no cyst is seen.", and "Is the brain missing?" with "Yes"."""
    outcome = ask(query)
    asked = yes_no(question, outcome)
    assert full_sentence(outcome, asked).startswith(text)
    assert short_answer(outcome, asked) not in (("Yes", "No") if asked.is_negated else ())


def test_what_one_side_has_is_told_of_this_side_alone(ask: Ask) -> None:
    assert full_sentence(ask("whether kidneys is dilated")).startswith("Yes, the left kidney is dilated: ")


def test_the_size_of_a_finding_is_that_of_its_rule_and_of_fluid_the_volume(ask: Ask) -> None:
    value = ask("list of findings").evidence[0].value
    assert value is not None
    size = f"measures {value:.0f} mm"
    assert size in full_sentence(ask("presence of aortic aneurysm"))
    assert size in full_sentence(ask("length of aortic aneurysm"))
    fluid = Fact(
        id="pleural_effusion_left.1",
        key="pleural_effusion_left",
        kind="finding",
        name="left pleural effusion",
        state="present",
        structure="lung_left",
        side="left",
        longest_mm=228.0,
        volume_ml=527.0,
    )
    query = read_query("presence of pleural effusion")
    outcome = Outcome(query=query, value=True, things=(Things(query.target, "present", whole=fluid, each=(fluid,)),))
    assert full_sentence(outcome) == "Yes, there is a left pleural effusion, which measures 527 mL."


def test_no_answer_of_any_kind_or_state_reads_oddly(small_phantom: Phantom) -> None:
    """All kinds of queries and all states; ``benchmarks/answer_sentences.py`` prints them."""
    odd = re.compile(r"\b(\w+) \1\b|  |\.\.|\( |\ba (?:ascites|[aeio])|, \.|: \.|\bNone\b:|mm3|cm2|\d{4}")
    for line in answer_sentences.lines(answer_sentences.facts_of(small_phantom, ("gallbladder",))):
        assert odd.search(line.sentence.replace("that that", "")) is None, line
        assert line.sentence[0].isupper() or line.sentence[0].isdigit(), line
        assert line.sentence.endswith("."), line
        if line.asked.is_wanted:
            assert re.match(r"(?:Yes|No), |Not assessed: ", line.sentence), line
            assert not re.match(r"No, no (?:that|not)\b", line.sentence), line


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
