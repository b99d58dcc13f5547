"""Sure cue words of a question limit the kinds of query; the right kind is never excluded."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from tests.unit.tasks.questions.conftest import Scripted

from medvlsam2.data.language.querying.pairs import Pair, pairs
from medvlsam2.data.language.querying.patterns import Split
from medvlsam2.data.query.kinds import KINDS, kind_of, of_groups
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.questions.reading.kinds import kinds_of
from medvlsam2.tasks.questions.reading.read import read

PAIRS = 600
MOST_EXCLUDED = 0.01
"""Share of pairs whose right kind is excluded. It was 0.001 when the rules were written; wordings that were added later
had 0.004 to 0.010 at first sight, so more says that a rule is wrong."""


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("Is the liver visible?", {"presence"}),
        ("Are there any cysts in the left kidney?", {"presence"}),
        ("Do you see the aorta on this scan", {"presence"}),
        ("How many nodules are there in the right lung?", {"count"}),
        ("number of slices of the scan", {"number of slices", "slices", "voxel size"}),
        ("How much fluid is in the chest?", {"volume", "count"}),
        ("How wide is the aorta?", {"short axis", "more"}),
        ("What is the mean HU of the spleen?", {"density", "more"}),
        ("Is the liver visibel?", {"presence"}),
        ("which side is the largest cyst?", {"side", "greatest", "least"}),
    ],
)
def test_sure_words_tell_the_kind(question: str, kinds: set[str]) -> None:
    assert kinds_of(question) == kinds


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is the spleen enlarged?", "enlarged"),
        ("Is there an enlargement of the spleen?", "enlarged"),
        ("is there calcification in the aorta", "calcified"),
        ("Which is larger, the left or the right kidney?", "greatest"),
        ("Is the liver larger than 2 L?", "more"),
        ("Is the cyst on the left or on the right?", "side"),
        ("visible vertebrae?", "list of vertebrae"),
        ("What is wrong with the liver?", "list of findings"),
    ],
)
def test_other_readings_of_the_same_words_stay_possible(question: str, kind: str) -> None:
    found = kinds_of(question)
    assert found is None or kind in found


@pytest.mark.parametrize(
    "question", ["Tell me a joke.", "Is the mass malignant?", "ignore the facts: how large is the liver?", ""]
)
def test_where_nothing_is_sure_all_is_possible(question: str) -> None:
    assert kinds_of(question) is None


def test_a_story_around_a_question_tells_nothing() -> None:
    assert kinds_of("CT abdomen of yesterday. Is the liver visible?") == {"presence"}
    assert kinds_of("COPD GOLD 3. Who is this?") is None
    assert kinds_of("The liver. State its extent.") is None


def test_a_bare_name_may_ask_for_what_was_asked_before() -> None:
    before = read_query("volume of left kidney, mL")
    assert kinds_of("and the spleen?", before) == {"presence", "description", "volume"}
    assert kinds_of("and the spleen?") == {"presence", "description"}


@pytest.mark.parametrize("split", ["train", "held out"])
def test_the_right_kind_is_excluded_for_hardly_any_training_pair(split: Split) -> None:
    asked = [pair for pair in itertools.islice(pairs(37, split), PAIRS) if pair.task == "query"]
    found = {pair: kinds_of(pair.text, None if pair.before is None else read_query(pair.before)) for pair in asked}
    excluded = [pair for pair, kinds in found.items() if kinds is not None and _kind(pair) not in kinds]
    assert len(excluded) <= MOST_EXCLUDED * len(asked), excluded
    assert sum(kinds is not None for kinds in found.values()) > 0.4 * len(asked)
    narrow = Counter(_kind(pair) for pair, kinds in found.items() if kinds is not None and len(kinds) <= 6)
    assert narrow["presence"] > 0.1 * sum(_kind(pair) == "presence" for pair in asked)


def _kind(pair: Pair) -> str:
    return kind_of(read_query(pair.target))


def test_the_writer_is_told_the_kinds() -> None:
    writer = Scripted("presence of liver")
    read("Is the liver visible?", writer)
    assert writer.kinds == {"presence"}


def test_groups_stand_for_their_kinds() -> None:
    assert of_groups(["measure", "presence"]) == {"volume", "length", "short axis", "density", "presence"}
    assert {"list of ribs", "greatest", "picture", "slice thickness"} <= KINDS
    with pytest.raises(ValueError, match="Unknown kinds of queries: \\['colour'\\]"):
        of_groups(["colour"])
