"""Training pairs of the text tasks: every target can be read, every kind of query occurs, held-out wordings are new."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.language import querying
from medvlsam2.data.language.asking import question_wording
from medvlsam2.data.language.querying.asked import asked_question
from medvlsam2.data.language.querying.noise import typed
from medvlsam2.data.language.querying.pairs import Pair, pairs
from medvlsam2.data.language.querying.patterns import content, expanded, groups, patterns
from medvlsam2.data.language.querying.phrasing import rearranged, spoken
from medvlsam2.data.language.querying.questions import measured, pair_together
from medvlsam2.data.query import objects, queries
from medvlsam2.data.query.reading import read_object, read_query
from medvlsam2.data.query.told_sides import told_sides

COMMON = (
    *("presence_of_structure", "presence_of_finding", "count", "side", "level", "location", "measure", "distance"),
    *("ratio", "which"),
)


@pytest.fixture(scope="module")
def drawn() -> list[Pair]:
    return list(itertools.islice(pairs(7), 3000))


def test_every_target_reads_back(drawn: list[Pair]) -> None:
    for pair in drawn:
        read = read_query if pair.task == "query" else read_object
        assert str(read(pair.target)) == pair.target
        assert pair.before is None or str(read_query(pair.before)) == pair.before
        assert pair.text.strip()
        assert not set("{}|") & set(pair.text), pair.text


def test_every_kind_of_query_and_every_word_of_the_language_occurs(drawn: list[Pair]) -> None:
    read = [read_query(pair.target) for pair in drawn if pair.task == "query"]
    assert {type(query) for query in read} == set(get_args(queries.Query))
    targets = "\n".join(pair.target for pair in drawn)
    for type_ in (queries.Measure, queries.State, queries.Category, queries.ObjectQuestion, queries.ScanQuestion):
        assert [word for word in get_args(type_) if word not in targets] == []
    for type_ in (queries.Refusal, queries.Unit, objects.Pick, objects.Part, objects.Relation, objects.Size):
        assert [word for word in get_args(type_) if word not in targets] == []


def test_pairs_depend_on_the_seed_alone(drawn: list[Pair]) -> None:
    assert list(itertools.islice(pairs(7), 50)) == drawn[:50]
    assert list(itertools.islice(pairs(8), 50)) != drawn[:50]


def test_texts_hardly_repeat_and_some_refer_to_the_question_before(drawn: list[Pair]) -> None:
    assert len({(pair.text, pair.before) for pair in drawn}) > 0.85 * len(drawn)
    before = Counter(pair.before is not None for pair in drawn)
    assert 0.08 < before[True] / len(drawn) < 0.3


@pytest.mark.parametrize("group", COMMON)
def test_common_kinds_have_forty_wordings(group: str) -> None:
    assert len(groups()[group]) >= 40


def test_one_text_has_one_meaning(drawn: list[Pair]) -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    for pair in drawn:
        if pair.before is None:
            meanings.setdefault((pair.task, pair.text.lower()), set()).add(pair.target)
    assert [text for text, targets in meanings.items() if len(targets) > 1] == []


def test_sides_of_texts_and_targets_agree(drawn: list[Pair]) -> None:
    """A text that tells one side alone never gets a target of the other side alone."""
    for pair in drawn:
        if "leftmost" in pair.target or "rightmost" in pair.target:
            continue  # these are also said as "farthest left"
        told = told_sides(pair.text.replace("left out", ""))
        meant = {side for side in ("left", "right") if side in pair.target.split()}
        if len(told) == len(meant) == 1 and pair.before is None:
            assert told == meant, pair


def test_every_file_in_a_room_of_wordings_is_read() -> None:
    rooms = Path(querying.__path__[0]) / "wordings"
    files = sorted(path.relative_to(rooms).with_suffix("").as_posix() for path in rooms.glob("*/*.yaml"))
    assert len(files) >= 10
    for file in files:
        before = "then " if file.startswith("followups/") else ""
        assert {f"{before}{name}" for name in content(file)} <= set(groups()), file


def test_held_out_wordings_are_never_trained_on() -> None:
    for group in groups():
        held, trained = set(patterns(group, "held out")), set(patterns(group, "train"))
        assert held
        assert trained
        assert not held & trained
        assert held | trained == set(groups()[group])
    for pair in itertools.islice(pairs(3, "held out"), 200):
        (read_query if pair.task == "query" else read_object)(pair.target)


def test_questions_of_the_evaluation_are_trained_on() -> None:
    rng = np.random.default_rng(1)
    asked = [asked_question(rng, "train") for _ in range(600)]
    for topic, target in (
        (question_wording.REGION, "region"),
        (question_wording.MODALITY, "modality"),
        (question_wording.ANY_ABNORMALITY, "list of findings"),
    ):
        texts = {each.text for each in asked if str(each.query) == target}
        assert topic.canonical in texts
        assert len(texts & set(topic.patterns)) > 5


def test_alternatives_are_expanded_inside_out() -> None:
    rng = np.random.default_rng(0)
    assert {expanded("(a (b|c)|d) (mm)", rng) for _ in range(60)} == {"a b (mm)", "a c (mm)", "d (mm)"}


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("{the}: {choices}?", r"\d (mL|ml|cc|cm3|cm³|c|mi|M|C)"), ("{the} in {unit}, not {other_unit}?", r"in (m|c|M|C)")],
)
def test_choices_and_denied_units_leave_the_unit_that_is_asked_for(pattern: str, told: str) -> None:
    rng = np.random.default_rng(2)
    target = objects.ObjectExpression((objects.Item("liver"),))
    asked = [measured("volume", target, pattern, rng, "train") for _ in range(80)]
    millilitres = [each.text for each in asked if str(each.query) == "volume of liver, mL"]
    litres = [each.text for each in asked if str(each.query) == "volume of liver, L"]
    assert len(millilitres) + len(litres) == len(asked)
    assert all(re.search(told, text) for text in millilitres)
    assert litres
    assert not any(re.search(told, text) for text in litres)


def test_both_of_a_pair_in_one_number_are_the_pair() -> None:
    rng = np.random.default_rng(4)
    for _ in range(100):
        asked = pair_together(rng, "train")
        assert isinstance(asked.query, queries.AskMeasure)
        (key,) = asked.query.target.keys
        assert len(vocabulary.STRUCTURES[key].parts) == 2


def test_verbs_of_relations_take_the_number_of_the_noun() -> None:
    rng = np.random.default_rng(5)
    expression = read_object("cyst touching liver")
    phrases = [spoken(expression, rng, "train") for _ in range(300)]
    assert any(" that touches " in phrase.one and " that touch " in phrase.many for phrase in phrases)


@pytest.mark.parametrize(
    ("target", "beginning"),
    [
        ("largest cyst in spleen", "spleen: "),
        ("lungs without left lung lower lobe", "take "),
        ("largest kidneys", "of the "),
    ],
)
def test_a_phrase_may_have_another_order(target: str, beginning: str) -> None:
    rng = np.random.default_rng(6)
    texts = {rearranged(read_object(target), rng, "train") for _ in range(150)}
    assert any(text is not None and text.startswith(beginning) for text in texts)


def test_a_plain_phrase_has_no_other_order() -> None:
    rng = np.random.default_rng(6)
    assert {rearranged(read_object(text), rng, "train") for text in ("liver", "cyst touching spleen")} == {None}


def test_typing_keeps_numbers_and_short_words() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = typed("segment T12 and L5 of 12 mm", rng, phrase=True).lower()
        assert "t12 and l5 of 12 mm" in text
