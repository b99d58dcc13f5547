"""Questions are checked before a query is written, and the query is checked against its question."""

from __future__ import annotations

import pytest
from tests.unit.tasks.questions.conftest import Scripted

from medvlsam2.data.query.queries import AskPicture, Decline
from medvlsam2.data.query.reading import read_query
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.questions.reading.agreement import disagreement, fitting_keys
from medvlsam2.tasks.questions.reading.read import read, require_askable


@pytest.mark.parametrize(
    "question",
    [
        "What is the patient's name?",
        "Who is this patient?",
        "How old is he?",
        "What is the date of birth of the patient?",
        "Whose scan is this?",
    ],
)
def test_questions_about_the_identity_are_declined(question: str) -> None:
    assert require_askable(question) == Decline("identity")


@pytest.mark.parametrize(
    "question",
    [
        "How should this cyst be treated?",
        "Which drug do you recommend for the metastases?",
        "Does the patient need surgery?",
        "Should I take antibiotics?",
        "What is the best therapy?",
    ],
)
def test_questions_about_treatment_are_declined(question: str) -> None:
    assert require_askable(question) == Decline("treatment")


@pytest.mark.parametrize(
    "question",
    [
        "How large is the liver in mL?",
        "What is the name of the largest organ?",
        "Which organ is the largest?",
        "Is there a cyst in the left kidney?",
        "On which side of the patient is the spleen?",
        "Who needs this? How large is the aorta?",
        "liver?",
        "Is the patient's left kidney larger than the right one?",
        "Does the person have fatty liver?",
        "and the right one?",
        "Show me the medial lobe",
        "r/o bone lesions",
        "54 y/o, os sacrum density?",
        "Hepatic cyst as % of liver",
    ],
)
def test_questions_about_the_scan_are_not_declined(question: str) -> None:
    assert require_askable(question) is None


@pytest.mark.parametrize(
    "question",
    [
        "Wie groß sind die Nieren?",
        "Quelle est la taille du foie ?",
        "¿Cuál es el tamaño del hígado?",
        "Quanto è grande il fegato?",
        "肝臓の大きさ",
        "Насколько велика печень?",
    ],
)
def test_foreign_questions_are_told_which_language_is_understood(question: str) -> None:
    with pytest.raises(InvalidPrompt, match="English, which is the only language"):
        require_askable(question)


def test_a_long_question_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidPrompt, match=r"10,000 characters; at most 1,000"):
        require_askable("a" * 10_000)


def test_only_names_of_the_question_may_be_written() -> None:
    writer = Scripted("volume of liver")
    assert read("How large is the liver?", writer).query == read_query("volume of liver")
    assert "liver" in writer.keys
    assert "spleen" not in writer.keys
    refused = read("How large is the spleen?", writer)
    assert isinstance(refused.query, AskPicture)
    assert refused.refused


def test_one_side_of_the_question_is_binding() -> None:
    assert fitting_keys("How large is the right kidney?", ("kidney_right", "kidneys", "kidney_left"), None) == (
        "kidney_right",
        "kidneys",
    )
    wrong = read_query("volume of left kidney")
    assert "left side" in str(disagreement("How large is the right kidney?", wrong, None))
    assert disagreement("How large is the left kidney?", wrong, None) is None
    whole = read_query("volume of kidneys")
    assert "leaves out the right side" in str(disagreement("How large is the right kidney?", whole, None))
    compared = read_query("ratio of volume of left kidney to right kidney")
    assert disagreement("Compare the left kidney with the other one.", compared, None) is None


def test_a_number_must_stand_in_the_question() -> None:
    limit = read_query("whether length of spleen is more than 13 cm")
    assert disagreement("Is the spleen longer than 13 cm?", limit, None) is None
    assert disagreement("Is the spleen longer than 130 mm?", limit, None) is None
    assert disagreement("Is the spleen longer than 13?", limit, None) is None
    assert "13 cm" in str(disagreement("Is the spleen long?", limit, None))
    assert "13 cm" in str(disagreement("Is the spleen longer than 13 mm?", limit, None))


@pytest.mark.parametrize(
    ("question", "written", "meant"),
    [
        (
            "Is the spleen bigger than 12 cm?",
            "whether volume of spleen is more than 12 mm",
            "length of spleen is more than 12 cm",
        ),
        (
            "Does the liver have more than 1,500 ml?",
            "whether volume of liver is more than 1.5 mL",
            "volume of liver is more than 1500 mL",
        ),
        ("How large is the liver in litres?", "length of liver", "volume of liver, L"),
        ("The liver has 5 L. How large is it in cc?", "volume of liver, L", "volume of liver, mL"),
        ("How large is the liver? In ml, not in cm.", "volume of liver", "volume of liver, mL"),
        ("How long is the spleen in mm rather than cm?", "length of spleen", "length of spleen, mm"),
        ("How large is the liver?", "volume of liver", "volume of liver"),
        (
            "Distance from liver to spleen in cm?",
            "distance from liver to spleen, mm",
            "distance from liver to spleen, cm",
        ),
        (
            "Left kidney to right kidney in percent?",
            "ratio of volume of left kidney to right kidney",
            "to right kidney, %",
        ),
    ],
)
def test_units_and_limits_are_those_of_the_words(question: str, written: str, meant: str) -> None:
    assert str(read(question, Scripted(written)).query).endswith(meant)


def test_choices_tell_what_is_measured_and_among_what() -> None:
    sized = read("How large is the liver?", Scripted("length of liver"), choices=("0.9 L", "1400 mL"))
    assert sized.query == read_query("volume of liver")
    among = read(
        "Which is the largest?", Scripted("greatest volume of liver or pancreas"), choices=("the liver", "spleen")
    )
    assert among.query == read_query("greatest volume of liver or spleen")


def test_both_sides_of_a_question_are_binding() -> None:
    question = "volume of left plus right kidney"
    assert "leaves out the right side" in str(disagreement(question, read_query("volume of left kidney"), None))
    assert disagreement(question, read_query("volume of left kidney and right kidney"), None) is None
    assert disagreement(question, read_query("volume of kidneys"), None) is None


def test_a_side_of_the_question_before_is_not_binding() -> None:
    reading = read("bladder?", Scripted("length of urinary bladder"), "length of right adrenal gland")
    assert reading.query == read_query("length of urinary bladder")


@pytest.mark.parametrize(
    ("question", "query", "before"),
    [
        ("What about the bronchi?", "presence of bronchi", "presence of left rib 6"),
        ("And the smallest one?", "length of smallest cyst larger than 12 mm", "length of cyst larger than 12 mm"),
        ("The spleen is small, right?", "whether spleen is small", None),
        ("How big is the liver in L?", "volume of liver, L", None),
        ("Which vertebra is right below T12?", "presence of vertebrae next below T12 vertebra", None),
        ("rihgt kidney volume", "volume of right kidney", None),
        ("And its counterpart?", "location of right breast", "location of left breast"),
    ],
)
def test_words_that_look_like_a_side_and_what_the_question_before_told_do_not_disagree(
    question: str, query: str, before: str | None
) -> None:
    assert disagreement(question, read_query(query), None if before is None else read_query(before)) is None


def test_it_keeps_the_side_of_the_question_before() -> None:
    whole, before = read_query("volume of kidneys"), read_query("location of left kidney")
    assert "left side" in str(disagreement("How big is it?", whole, before))


def test_a_question_may_refer_to_the_one_before() -> None:
    writer = Scripted("volume of right kidney, mL")
    reading = read("And the right one?", writer, "volume of left kidney, mL")
    assert reading.query == read_query("volume of right kidney, mL")
    assert writer.before == read_query("volume of left kidney, mL")
    assert "kidney_right" in writer.keys
    assert "kidney_left" not in writer.keys


@pytest.mark.parametrize(
    ("question", "before", "key"),
    [
        ("and in the left kidney?", "presence of liver cyst", "kidney_cyst_left"),
        ("and in the right kidney?", "count of gallstone", "kidney_stone"),
        ("what about the lungs?", "presence of liver metastasis", "lung_metastasis"),
        ("and the spleen?", "presence of kidney cyst", "cyst"),
    ],
)
def test_the_finding_before_may_be_meant_in_another_organ(question: str, before: str, key: str) -> None:
    writer = Scripted("picture")
    read(question, writer, before)
    assert key in writer.keys


def test_a_mere_place_after_a_finding_means_that_finding_there() -> None:
    writer = Scripted("presence of left kidney")
    reading = read("and in the left kidney?", writer, "presence of liver cyst")
    assert writer.keys == ("kidney_cyst_left",)
    assert reading.refused
    read("and how large is the left kidney?", writer, "presence of liver cyst")
    assert "kidney_left" in writer.keys


def test_no_vertebra_of_a_list_is_left_out_and_no_unit_is_invented() -> None:
    reading = read("What is the volume of L1 to L3?", Scripted("volume of L1 vertebra, L"))
    assert reading.query == read_query("volume of L1 vertebra and L2 vertebra and L3 vertebra")
    compared = read_query("greatest volume of L1 vertebra or L3 vertebra")
    assert read("Which is larger, L1 or L3?", Scripted(str(compared))).query == compared


def test_names_of_choices_are_linked() -> None:
    writer = Scripted("list of structures")
    read("Which of these is visible?", writer, choices=("the liver", "left kidny", "brain"))
    assert {"liver", "kidney_left", "brain"} <= set(writer.names)


def test_a_range_of_vertebrae_is_asked_for_one_by_one() -> None:
    writer = Scripted("volume of L1 vertebra and L2 vertebra and L3 vertebra")
    assert read("What is the volume of L1 to L3?", writer).query == read_query(writer.text)
    assert writer.questions == ["What is the volume of L1, L2 and L3?"]


def test_the_question_before_is_left_out_where_nothing_refers_to_it() -> None:
    writer = Scripted("volume of spleen")
    read("How large is the spleen?", writer, "volume of left kidney, mL")
    assert writer.before is None


def test_a_text_that_is_no_query_is_not_understood() -> None:
    reading = read("How large is the liver?", Scripted("make the liver 5 L"))
    assert (reading.query, reading.refused) == (AskPicture(), "The question was not understood.")


def test_a_wrong_query_before_is_refused() -> None:
    for question in ("And the right one?", "How large is the spleen?"):
        with pytest.raises(InvalidPrompt, match="no query"):
            read(question, Scripted("region"), "ignore the facts")
