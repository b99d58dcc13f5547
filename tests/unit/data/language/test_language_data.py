"""Texts about scans: clean English, true to the facts, and parsed back to the same findings."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import (
    anatomy,
    chat,
    clinical,
    corpus,
    phrases,
    questions,
    report,
)
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import is_plural, join, plural, with_article
from medvlsam2.errors import InvalidPrompt

NUM_SCANS = 80


def lesion(kind: str, structure: str, diameter_mm: float, label_value: int = 1) -> Lesion:
    return Lesion(
        kind=kind,
        structure=structure,
        side=vocabulary.STRUCTURES[structure].side,
        center_ijk=(1, 2, 3),
        center_ras=(1.0, 2.0, 3.0),
        diameter_mm=diameter_mm,
        mean_hu=10.0,
        label_value=label_value,
    )


def two_cysts(*, lesions_known: bool = True) -> ScanFacts:
    return ScanFacts(
        region="abdomen",
        phase="portal venous",
        volumes_ml={"liver": 1500.0, "spleen": 210.0, "kidney_left": 150.0, "kidney_right": 200.0},
        absent=("gallbladder", "brain", "heart", "mandible"),
        lesions=(lesion("cyst", "kidney_left", 24.2, 1), lesion("cyst", "kidney_left", 11.8, 2)),
        lesions_known=lesions_known,
    )


def scans() -> list[tuple[ScanFacts, np.random.Generator]]:
    generators = [np.random.default_rng(seed) for seed in range(NUM_SCANS)]
    return [(corpus.random_facts(rng), rng) for rng in generators]


def said_of(facts: ScanFacts, rng: np.random.Generator) -> list[str]:
    """Return every text that is written about a scan."""
    written = report(facts, rng)
    texts = [each.sentence for each in written.findings] + [written.impression]
    for asked in questions(facts, rng):
        texts += [asked.question, *([asked.answer] if asked.kind == "long" else [])]
    return texts


def test_the_prompt_is_internvls_chatml() -> None:
    assert chat.prompt("Is the liver visible?", 2, system="Be brief.") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nIs the liver visible?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_prompt_is_its_prefix_followed_by_its_turn() -> None:
    for question in (chat.report_question(), chat.segmentation_question("spleen")):
        assert chat.prompt(question, 5) == chat.prefix(5) + chat.turn(question)


@pytest.mark.parametrize("token", chat.SPECIAL_TOKENS)
def test_a_question_may_not_hold_a_special_token(token: str) -> None:
    with pytest.raises(InvalidPrompt, match=re.escape(token)):
        chat.turn(f"What is {token}?")


@pytest.mark.parametrize("phrase", ["", "  ", "...", "the ."])
def test_an_empty_phrase_is_refused(phrase: str) -> None:
    with pytest.raises(InvalidPrompt):
        chat.segmentation_question(phrase)


@pytest.mark.parametrize(
    ("given", "question"),
    [
        ("Left Kidney", "Please segment the left kidney."),
        ("kidney_left", "Please segment the left kidney."),
        ("the liver.", "Please segment the liver."),
        ("The Largest cyst in the LIVER", "Please segment the largest cyst in the liver."),
        ("12 mm nodule in the left lung", "Please segment the 12 mm nodule in the left lung."),
    ],
)
def test_serving_uses_one_wording(given: str, question: str) -> None:
    assert chat.segmentation_question(given) == question


def test_training_uses_many_wordings_and_often_the_one_of_serving() -> None:
    rng = np.random.default_rng(0)
    asked = Counter(chat.segmentation_questions("spleen", rng) for _ in range(400))
    assert len(asked) > 5
    assert asked[chat.segmentation_question("spleen")] > 150


def test_choices_have_letters_and_the_style_is_stated() -> None:
    asked = chat.answer_question("Which organ?", ["liver", "spleen"], None)
    assert asked == "Which organ? Choices: A. liver B. spleen Answer with the letter and the choice."
    assert chat.answer_question("Which organ?", (), "long").endswith("Answer in a full sentence.")


@pytest.mark.parametrize("count", [1, 27])
def test_too_few_or_too_many_choices_are_refused(count: int) -> None:
    with pytest.raises(InvalidPrompt, match=str(count)):
        chat.answer_question("Which?", ["liver"] * count, "multiple_choice")


def test_grammar() -> None:
    assert [with_article(text) for text in ("abscess", "8 mm cyst", "11 mm cyst", "80 mm mass", "1 mm stone")] == [
        "an abscess",
        "an 8 mm cyst",
        "an 11 mm cyst",
        "an 80 mm mass",
        "a 1 mm stone",
    ]
    assert plural("left lung metastasis") == "left lung metastases"
    assert [is_plural(text) for text in ("lungs", "pelvis", "portal and splenic veins")] == [
        True,
        False,
        True,
    ]
    assert join(["liver", "spleen"]) == "liver and spleen"


def test_everything_is_deterministic() -> None:
    def write() -> list[object]:
        rng = np.random.default_rng(5)
        facts = corpus.random_facts(rng)
        return [facts, report(facts, rng), questions(facts, rng), phrases(facts, rng)]

    assert write() == write()
    assert list(corpus.sentences(3, 60)) == list(corpus.sentences(3, 60))
    assert list(corpus.sentences(3, 60)) != list(corpus.sentences(4, 60))


def test_sentences_are_clean_english() -> None:
    for facts, rng in scans():
        for text in said_of(facts, rng):
            assert text[0].isupper() or text[0].isdigit(), text
            assert text.endswith((".", "?")), text
            assert "  " not in text, text
            assert " ," not in text, text
            assert ".." not in text, text
            assert "_" not in text, text
            assert not re.search(r"\b[Aa] (?:[aeio]|8|11 |18 )", text), text
            assert not re.search(r"\b[Aa]n [bcdfghjklmnpqrstvwxyz]", text), text
            assert not re.search(r"\b(\w+) \1\b", text), text
            assert not re.search(r"\bNone\b", text), text


def test_every_number_in_a_report_is_a_measurement() -> None:
    for facts, rng in scans():
        text = re.sub(r"\b[CTLS]\d+ vertebral\b", "", report(facts, rng).text)
        for name in sorted(vocabulary.names(), key=len, reverse=True):
            text = text.replace(name, "")
        measured = {str(max(1, round(each.diameter_mm))) for each in facts.lesions}
        assert set(re.findall(r"\d+", text)) <= measured, text


def test_a_report_is_parsed_back_to_its_findings() -> None:
    for facts, rng in scans():
        written = report(facts, rng)
        found = {each for each in clinical.parse_findings(written.text) if each[0] not in ("normal", "absent")}
        assert found == clinical.stated_findings(facts), written.text
        for finding in written.findings:
            if finding.lesion_label is not None:
                told = next(each for each in facts.lesions if each.label_value == finding.lesion_label)
                assert told.kind in {kind for kind, _, _ in clinical.parse_findings(finding.sentence)}
                assert told.structure == finding.structure_key


def test_only_structures_known_to_be_normal_are_called_normal() -> None:
    for facts, rng in scans():
        text = report(facts, rng).text
        affected = [each.structure for each in facts.lesions]
        for kind, key, _ in clinical.parse_findings(text):
            if kind == "normal":
                assert facts.lesions_known
                assert key in {part for shown in facts.volumes_ml for part in anatomy.leaves(shown)}
                assert not any(lesions.may_overlap(str(key), other) for other in affected)
            if kind == "absent":
                assert key in facts.absent
        if not facts.lesions_known:
            assert not re.search(r"\b(?:no|normal|unremarkable)\b", text.lower()), text


def test_a_report_leaves_out_structures_at_the_ends_of_the_scan() -> None:
    facts = ScanFacts(
        region="chest",
        volumes_ml={
            "lungs": 4000.0,
            "heart": 600.0,
            "liver": 700.0,
            "kidney_left": 20.0,
            "kidney_right": 90.0,
        },
        absent=("gallbladder", "spleen"),
        lesions_known=True,
    )
    for seed in range(20):
        rng = np.random.default_rng(seed)
        text = report(facts, rng).text
        assert {key for kind, key, _ in clinical.parse_findings(text) if kind == "normal"} == {
            "heart",
            "lung_left",
            "lung_right",
        }
        assert not re.search("liver|kidney|gallbladder|spleen", text)
        assert "comparison" not in {asked.topic for asked in questions(facts, rng)}


def test_unknown_structures_are_never_mentioned() -> None:
    for facts, rng in scans():
        known = {*facts.volumes_ml, *facts.absent, *(each.structure for each in facts.lesions)}
        spoken = [finding.sentence for finding in report(facts, rng).findings[1:]]
        spoken += [
            asked.question
            for asked in questions(facts, rng)
            if asked.topic in ("presence", "organ", "lesion presence", "size", "count", "comparison")
        ]
        for text in spoken:
            for key in clinical.structures_in(text):
                pair = anatomy.is_pair(key) and {*vocabulary.STRUCTURES[key].parts} <= known
                assert key in known or pair, (key, text)


def test_answers_about_presence_follow_the_facts() -> None:
    seen = Counter()
    for facts, rng in scans():
        for asked in questions(facts, rng):
            if asked.topic != "presence":
                continue
            (key,) = clinical.structures_in(asked.question)
            seen[asked.answer[:2]] += 1
            assert asked.answer.startswith("Yes" if key in facts.volumes_ml else "No")
    assert 0.3 < seen["Ye"] / seen.total() < 0.75


def test_lesion_answers_follow_the_facts() -> None:
    facts = two_cysts()
    answers: dict[str, set[str]] = {}
    for seed in range(200):
        for asked in questions(facts, np.random.default_rng(seed)):
            if asked.kind == "short":
                answers.setdefault(asked.question, set()).add(asked.answer)
    assert all(len(given) == 1 for given in answers.values())
    expected = {
        "How many cysts are there in the left kidney?": "two",
        "How large is the larger cyst in the left kidney?": "24 mm",
        "On which side are the cysts?": "left",
        "Where are the cysts?": "left kidney",
        "What is abnormal in the left kidney?": "cyst",
        "Is any abnormality seen?": "Yes",
        "Was intravenous contrast given?": "Yes",
        "What is the contrast phase?": "portal venous",
        "Which is larger, the left kidney or the right kidney?": "right kidney",
        "Is there a cyst in the right kidney?": "No",
        "Is there a left renal cyst?": "Yes",
        "Is the brain visible?": "No",
    }
    assert {question: answers[question].pop() for question in expected} == expected


def test_nothing_is_denied_or_counted_where_lesions_are_not_known() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        facts = two_cysts(lesions_known=False)
        asked = questions(facts, rng)
        assert not {each.topic for each in asked} & {"count", "size", "side", "place"}
        assert all(each.answer[:2] != "No" for each in asked if "lesion" in each.topic)
        found = phrases(facts, rng)
        assert all(each.phrase not in ("cyst in the right kidney", "cysts in the left kidney") for each in found)


def test_multiple_choice_answers_are_letter_and_choice() -> None:
    letters = Counter()
    for facts, rng in scans():
        for asked in questions(facts, rng):
            assert bool(asked.choices) == (asked.kind == "multiple_choice")
            if asked.choices:
                assert len(set(asked.choices)) == len(asked.choices) >= 2
                place = ord(asked.answer[0]) - ord("A")
                assert asked.answer == f"{chat.letter(place)}. {asked.choices[place]}"
                letters[asked.answer[0]] += 1
    assert min(letters[each] for each in "ABCD") > 0.1 * letters.total()


def test_phrases_refer_to_the_named_objects() -> None:
    found = {each.phrase: each for seed in range(60) for each in phrases(two_cysts(), np.random.default_rng(seed))}
    assert found["cysts in the left kidney"].lesion_labels == (1, 2)
    assert found["largest left renal cyst"].lesion_labels == (1,)
    assert found["smallest cyst in the left kidney"].lesion_labels == (2,)
    assert found["12 mm cyst in the left kidney"].lesion_labels == (2,)
    assert found["kidneys"].structure_keys == ("kidney_left", "kidney_right")
    assert found["larger kidney"].structure_keys == ("kidney_right",)
    assert found["organ that makes bile"].structure_keys == ("liver",)
    assert found["structure with the cysts"].structure_keys == ("kidney_left",)
    assert not found["cyst in the right kidney"].present
    assert not found["gallbladder"].present


def test_phrases_are_unambiguous_and_agree_with_the_vocabulary() -> None:
    for facts, rng in scans():
        found = phrases(facts, rng)
        assert max(Counter(each.phrase for each in found).values()) == 1
        for each in found:
            assert each.present == bool(each.structure_keys or each.lesion_labels)
            assert not (each.structure_keys and each.lesion_labels)
            named = vocabulary.lookup(each.phrase)
            if named is not None and each.structure_keys:
                meant = frozenset().union(*(anatomy.leaves(key) for key in each.structure_keys))
                assert anatomy.leaves(named.key) - {named.key} <= meant | {named.key}, each
                assert meant <= anatomy.leaves(named.key), each


def test_a_similar_finding_is_not_denied() -> None:
    facts = ScanFacts(
        region="chest",
        volumes_ml={"lung_left": 2000.0, "lung_right": 2200.0},
        lesions=(lesion("metastasis", "lung_left", 20.0),),
        lesions_known=True,
    )
    denied = lesions.denials(facts, np.random.default_rng(0), per_kind=9)
    assert ("nodule", "lung_right") in denied
    assert ("nodule", "lung_left") not in denied


def test_the_corpus_asks_for_every_structure() -> None:
    texts = set()
    for text in corpus.sentences(seed=0, count=4 * len(vocabulary.STRUCTURES)):
        texts.add(text.removeprefix(chat.prefix(0)).split(chat.TURN_END)[0])
    assert {chat.segmentation_question(name) for name in vocabulary.names()} <= texts
