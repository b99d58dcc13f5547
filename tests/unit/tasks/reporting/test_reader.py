"""The reader accepts every right sentence and refuses sentences in which one thing was changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language.grounded import Prior, imagined_facts
from medvlsam2.data.language.grounded.patterns import STYLES
from medvlsam2.data.language.grounded.topics import Topic, topics
from medvlsam2.tasks.reporting.reader import Reader

SEEDS = (2, 10)
STEP = 3
"""Every third sentence is changed, which keeps the test short; seeds 0 to 11 passed once with every sentence."""
OTHER_ORGANS = {
    "liver": "larynx",
    "spleen": "duodenum",
    "hepatic": "thyroid",
    "splenic": "pancreatic",
    "kidney": "femur",
    "renal": "adrenal",
    "gallbladder": "brain",
    "heart": "tongue",
    "aorta": "trachea",
    "lung": "clavicle",
    "pancreas": "rectum",
    "L2": "L3",
    "T12": "T11",
}
OTHER_WORDS = {
    "cyst": "abscess",
    "metastasis": "hemangioma",
    "gallstone": "bladder stone",
    "cardiomegaly": "splenomegaly",
    "effusion": "hemorrhage",
    "arterial": "delayed",
    "portal venous": "arterial",
    "chest": "neck",
    "enlarged": "normal in size",
    "normal in size": "enlarged",
    "mild": "severe",
    "two": "three",
    "length": "height",
    "mm": "cm",
    "mL": "L",
    "HU": "mm",
}
NEGATIONS = (
    ("There is no", "There is"),
    ("No ", ""),
    ("no ", ""),
    ("not ", ""),
    ("cannot", "can"),
    ("is seen", "is not seen"),
    ("are seen", "are not seen"),
    ("is enlarged", "is not enlarged"),
    ("is normal", "is not normal"),
    ("There is a", "There is no"),
    ("is present", "is absent"),
)
SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


def right_sentences(table: FactTable) -> dict[str, Topic]:
    """Every sentence that any style may say, with its topic."""
    return {text: topic for style in STYLES for topic in topics(table, style) for text in topic.sentences(style)}


def other_numbers(text: str) -> Iterator[str]:
    for match in re.finditer(r"\d+(?:\.\d+)?", text):
        if not re.search(r"[LTCS]$", text[: match.start()]):
            yield f"{text[: match.start()]}1{match.group()}{text[match.end() :]}"


def other_words(text: str, words: dict[str, str]) -> Iterator[str]:
    for before, after in words.items():
        for old, new in ((before, after), (before.capitalize(), after.capitalize())):
            if re.search(rf"\b{old}\b", text):
                yield re.sub(rf"\b{old}\b", new, text)


def other_side(text: str) -> Iterator[str]:
    if re.search(r"\b(?:left|right)\b", text, re.IGNORECASE):
        yield re.sub(r"\b(left|right|Left|Right)\b", lambda match: SIDES[match.group()], text)


def negated(text: str) -> Iterator[str]:
    for before, after in NEGATIONS:
        if before in text:
            yield text.replace(before, after, 1)


def wrong_sentences(text: str) -> Iterator[str]:
    yield from other_numbers(text)
    yield from other_words(text, OTHER_ORGANS)
    yield from other_words(text, OTHER_WORDS)
    yield from other_side(text)
    yield from negated(text)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_right_sentence_is_accepted_with_facts_of_its_topic(seed: int) -> None:
    table = imagined_facts(np.random.default_rng(seed))
    reader = Reader(table)
    for text, topic in right_sentences(table).items():
        judged = reader.judge(text)
        assert judged.reason == "", text
        assert set(judged.fact_ids) <= set(topic.facts), text


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sentence_with_one_thing_changed_is_refused(seed: int) -> None:
    """Each sentence is read with its own facts alone, so that a changed sentence is not true of something else."""
    table = imagined_facts(np.random.default_rng(seed))
    right = right_sentences(table)
    readers = {
        topic.facts: Reader(FactTable(tuple(table.by_id[key] for key in topic.facts))) for topic in right.values()
    }
    lower, tried = {text.lower() for text in right}, 0
    for text, topic in list(right.items())[::STEP]:
        for wrong in wrong_sentences(text):
            if wrong.lower() not in lower:
                tried += 1
                assert readers[topic.facts].judge(wrong).reason, f"{text} -> {wrong}"
    assert tried > 100


SPLEEN = Fact(id="spleen", key="spleen", kind="structure", name="spleen", state="present", volume_ml=248.2)
LONG = Fact(
    id="splenomegaly",
    key="splenomegaly",
    kind="rule",
    name="splenomegaly",
    state="present",
    structure="spleen",
    value=146.6,
    unit="mm",
    threshold=130.0,
)
CYST = Fact(
    id="kidney_cyst_left.1",
    key="kidney_cyst_left",
    kind="finding",
    name="left kidney cyst",
    state="present",
    structure="kidney_left",
    side="left",
    longest_mm=12.3,
)
TABLE = FactTable((SPLEEN, LONG, CYST))


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The spleen is enlarged, 147 mm long.", ""),
        ("There is a 12 mm cyst in the left kidney.", ""),
        ("The spleen is enlarged, 148 mm long.", "148"),
        ("The spleen is normal in size.", "No rule"),
        ("There is a 12 mm cyst in the right kidney.", "no such finding"),
        ("There are two cysts in the left kidney.", "1 of these"),
        ("The spleen looks fine.", "not understood"),
        ("The spleen is enlarged and normal in size.", "exclude"),
        ("The liver is not seen.", "nothing of the liver"),
        ("There is no ascites.", "do not say that this finding is absent"),
        ("None of the assessed findings is present.", "hold a finding"),
        ("Lorem ipsum.", "not understood"),
        ("", "nothing that can be checked"),
    ],
)
def test_the_reason_says_what_is_wrong(sentence: str, reason: str) -> None:
    judged = Reader(TABLE).judge(sentence)
    assert reason in judged.reason
    assert bool(judged.reason) == bool(reason)


def test_a_finding_of_one_side_is_not_denied_on_both() -> None:
    absent = Fact(
        id="pleural_effusion_left",
        key="pleural_effusion_left",
        kind="finding",
        name="left pleural effusion",
        state="absent",
        side="left",
    )
    reader = Reader(FactTable((absent,)))
    assert reader.judge("There is no left pleural effusion.").reason == ""
    assert "one side" in reader.judge("There is no pleural effusion.").reason


def test_a_comparison_needs_both_numbers_and_the_date_of_the_earlier_scan() -> None:
    earlier = Fact(**{**vars(LONG), "state": "absent", "value": 118.0})
    prior = Prior(FactTable((earlier,)), "2026-01-03", "2026-06-30")
    reader = Reader(TABLE, prior)
    right = "The length of the spleen measured 118 mm on 2026-01-03 and now measures 147 mm."
    assert reader.judge(right).fact_ids == ("splenomegaly",)
    for before, after in (("118", "119"), ("147", "118"), ("2026-01-03", "2026-01-04"), ("spleen", "liver")):
        assert reader.judge(right.replace(before, after)).reason
    assert Reader(TABLE).judge(right).reason, "without an earlier scan nothing is compared"
    told = {text for style in STYLES for topic in topics(TABLE, style, prior) for text in topic.sentences(style)}
    assert right in told
    assert all(not reader.judge(text).reason for text in told)


@pytest.mark.parametrize(
    ("cut", "sentence", "is_right"),
    [
        (True, "The spleen is enlarged, with a length of at least 147 mm.", True),
        (True, "The spleen is enlarged, at least 147 mm long.", True),
        (True, "The spleen is enlarged, with a length of 147 mm.", False),
        (False, "The spleen is enlarged, with a length of at least 147 mm.", False),
        (True, "The spleen is at least enlarged, with a length of at least 147 mm.", False),
        (True, "The spleen is enlarged, with a length of at least 140 mm.", False),
    ],
)
def test_a_length_that_the_scan_cuts_is_told_as_at_least(cut: bool, sentence: str, is_right: bool) -> None:
    assert (Reader(FactTable((replace(LONG, is_at_least=cut),))).judge(sentence).reason == "") == is_right
