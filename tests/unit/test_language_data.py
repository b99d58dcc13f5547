"""The language of scans: clean English, true to the facts, and read back as it was meant."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy, chat, clinical, corpus, lesions, phrases, questions, report
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.data.language.grammar import is_plural, join, plural, with_article
from medvlsam2.errors import InvalidConfig, InvalidPrompt, MissingCheckpoint

NUM_SCANS = 80
MAX_REPORT_TOKENS = 115


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
    """Every text that is written about a scan."""
    written = report(facts, rng)
    texts = [each.sentence for each in written.findings] + [written.impression]
    for asked in questions(facts, rng):
        texts += [asked.question, *([asked.answer] if asked.kind == "long" else [])]
    return texts


@pytest.fixture(scope="module")
def tokenizer() -> tokenizers.PreTrainedTokenizerFast:
    return tokenizers.train_tokenizer(corpus.sentences(seed=0, count=1200), 2048)


def test_the_prompt_is_internvls_chatml() -> None:
    assert chat.prompt("Is the liver visible?", 2, system="Be brief.") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nIs the liver visible?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_prompt_is_its_prefix_and_its_turn() -> None:
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
def test_serving_asks_in_one_form(given: str, question: str) -> None:
    assert chat.segmentation_question(given) == question


def test_training_asks_in_many_forms_and_often_in_servings() -> None:
    rng = np.random.default_rng(0)
    asked = Counter(chat.segmentation_questions("spleen", rng) for _ in range(400))
    assert len(asked) > 5
    assert asked[chat.segmentation_question("spleen")] > 150


def test_choices_are_lettered_and_the_style_is_said() -> None:
    asked = chat.answer_question("Which organ?", ["liver", "spleen"], None)
    assert asked == "Which organ? Choices: A. liver B. spleen Answer with the letter and the choice."
    assert chat.answer_question("Which organ?", (), "long").endswith("Answer in a full sentence.")


@pytest.mark.parametrize("count", [1, 27])
def test_too_few_or_too_many_choices_are_refused(count: int) -> None:
    with pytest.raises(InvalidPrompt, match=str(count)):
        chat.answer_question("Which?", ["liver"] * count, "multiple_choice")


def test_grammar() -> None:
    assert [
        with_article(text) for text in ("abscess", "8 mm cyst", "11 mm cyst", "80 mm mass", "1 mm stone")
    ] == [
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


def test_sentences_are_clean() -> None:
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
        text = report(facts, rng).text
        for name in sorted(vocabulary.names(), key=len, reverse=True):
            text = text.replace(name, "")
        measured = {str(max(1, round(each.diameter_mm))) for each in facts.lesions}
        assert set(re.findall(r"\d+", text)) <= measured, text


def test_a_report_has_findings_and_impression_and_is_short(
    tokenizer: tokenizers.PreTrainedTokenizerFast,
) -> None:
    lengths = []
    for facts, rng in scans():
        written = report(facts, rng)
        assert written.text.startswith("Findings: ")
        assert written.text.endswith(f" Impression: {written.impression}")
        lengths.append(len(tokenizer(written.text)["input_ids"]))
    assert max(lengths) <= MAX_REPORT_TOKENS
    assert np.median(lengths) < MAX_REPORT_TOKENS / 2


def test_a_report_is_read_back_as_it_was_meant() -> None:
    for facts, rng in scans():
        written = report(facts, rng)
        found = {
            each for each in clinical.parse_findings(written.text) if each[0] not in ("normal", "absent")
        }
        assert found == clinical.stated_findings(facts), written.text
        for finding in written.findings:
            if finding.lesion_label is not None:
                told = next(each for each in facts.lesions if each.label_value == finding.lesion_label)
                assert told.kind in {kind for kind, _, _ in clinical.parse_findings(finding.sentence)}
                assert told.structure == finding.structure_key


def test_normal_is_only_what_is_known_to_be() -> None:
    for facts, rng in scans():
        text = report(facts, rng).text
        affected = [each.structure for each in facts.lesions]
        for kind, key, _ in clinical.parse_findings(text):
            if kind == "normal":
                assert facts.lesions_known
                assert key in facts.volumes_ml
                assert not any(lesions.overlap(str(key), other) for other in affected)
            if kind == "absent":
                assert key in facts.absent
        if not facts.lesions_known:
            assert not re.search(r"\b(?:no|normal|unremarkable)\b", text.lower()), text


def test_unknown_structures_are_never_spoken_of() -> None:
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
        assert all(
            each.phrase not in ("cyst in the right kidney", "cysts in the left kidney") for each in found
        )


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


def test_phrases_mean_what_they_say() -> None:
    found = {
        each.phrase: each for seed in range(60) for each in phrases(two_cysts(), np.random.default_rng(seed))
    }
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


def test_a_look_alike_is_not_denied() -> None:
    facts = ScanFacts(
        region="chest",
        volumes_ml={"lung_left": 2000.0, "lung_right": 2200.0},
        lesions=(lesion("metastasis", "lung_left", 20.0),),
        lesions_known=True,
    )
    denied = lesions.denials(facts, np.random.default_rng(0), per_kind=9)
    assert ("nodule", "lung_right") in denied
    assert ("nodule", "lung_left") not in denied


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("A 12 mm left renal cyst is seen.", ("cyst", "kidney_left", "left")),
        ("Two hepatic metastases are present.", ("metastasis", "liver", None)),
        ("There is a gallstone.", ("stone", "gallbladder", None)),
        ("Right pleural effusion.", ("effusion", "lung_right", "right")),
        ("There is a fracture of left rib 7.", ("fracture", "rib_left_7", "left")),
        ("The gallbladder is not seen.", ("absent", "gallbladder", None)),
        ("The kidneys and spleen are normal.", ("normal", "kidney_right", "right")),
    ],
)
def test_findings_are_read(text: str, finding: tuple[str, str, str | None]) -> None:
    assert finding in clinical.parse_findings(text)


def test_a_denied_finding_is_none() -> None:
    assert not clinical.parse_findings("There is no left renal stone. No fracture. No cyst in the liver.")


def test_every_structure_is_asked_for_in_the_corpus() -> None:
    texts = set()
    for text in corpus.sentences(seed=0, count=4 * len(vocabulary.STRUCTURES)):
        texts.add(text.removeprefix(chat.prefix(0)).split(chat.TURN_END)[0])
    assert {chat.segmentation_question(name) for name in vocabulary.names()} <= texts


def test_special_tokens_have_the_lowest_ids(tokenizer: tokenizers.PreTrainedTokenizerFast) -> None:
    assert tokenizers.token_ids(tokenizer) == {token: n for n, token in enumerate(chat.SPECIAL_TOKENS)}
    assert tokenizer.eos_token == chat.TURN_END
    assert tokenizer.pad_token == chat.END_OF_TEXT
    assert tokenizer.bos_token is None
    ids = tokenizer(f"{chat.SEG}{chat.IMAGE_CONTEXT * 3}")["input_ids"]
    assert ids == [6, 5, 5, 5]


def test_the_tokenised_prefix_starts_the_tokenised_prompt(
    tokenizer: tokenizers.PreTrainedTokenizerFast,
) -> None:
    start = tokenizer(chat.prefix(4))["input_ids"]
    for facts, rng in scans()[:20]:
        for asked in questions(facts, rng):
            whole = tokenizer(chat.prompt(asked.question, 4))["input_ids"]
            assert whole[: len(start)] == start
            assert whole[len(start) :] == tokenizer(chat.turn(asked.question))["input_ids"]


def test_digits_are_single_tokens(tokenizer: tokenizers.PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("12 mm")[:2] == ["1", "2"]


def test_training_a_tokenizer_is_deterministic() -> None:
    texts = list(corpus.sentences(seed=0, count=300))
    first, second = (tokenizers.train_tokenizer(texts, 800) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_a_tokenizer_is_saved_and_loaded(
    tokenizer: tokenizers.PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizers.save(tokenizer, tmp_path)
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in tmp_path.iterdir()}
    loaded = tokenizers.load(tmp_path)
    text = chat.conversation("Where is it?", "It is [SEG].", 2)
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert (loaded.eos_token, loaded.pad_token) == (chat.TURN_END, chat.END_OF_TEXT)
    with pytest.raises(MissingCheckpoint, match=r"tokenizer\.json"):
        tokenizers.load(tmp_path / "nothing")


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="200"):
        tokenizers.train_tokenizer(["liver"], 200)


def test_a_parents_tokenizer_gets_the_missing_tokens() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    parent = Tokenizer(models.WordLevel({"<unk>": 0, "liver": 1, chat.TURN_END: 2}, unk_token="<unk>"))
    parent.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = tokenizers.PreTrainedTokenizerFast(tokenizer_object=parent, eos_token=chat.TURN_END)
    ids = tokenizers.add_special_tokens(wrapped)
    assert ids[chat.TURN_END] == 2
    assert sorted(ids.values()) == list(range(2, 9))
    assert wrapped(f"liver{chat.SEG}")["input_ids"] == [1, ids[chat.SEG]]
    assert tokenizers.add_special_tokens(wrapped) == ids
