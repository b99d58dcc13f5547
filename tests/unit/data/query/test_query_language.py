"""The query language: every text reads back as itself, and nothing else is read."""

from __future__ import annotations

import pytest
from llguidance import LLMatcher, LLTokenizer

from medvlsam2.data import vocabulary
from medvlsam2.data.query.grammar import Start, grammar, writing_grammar
from medvlsam2.data.query.objects import Item, ObjectExpression, OfSize, OnSide, Place, Where
from medvlsam2.data.query.queries import AskMeasure, AskMore, AskWhich, objects_of
from medvlsam2.data.query.reading import read_object, read_query
from medvlsam2.errors import InvalidPrompt

QUERIES = (
    *("presence of aorta", "count of cyst in left kidney", "volume of liver, mL", "length of spleen", "region"),
    *("density of liver", "short axis of lymph node, cm", "side of lung nodule", "level of highest kidney stone"),
    *("distance from cyst in left kidney to spleen, mm", "ratio of volume of left kidney to kidneys, %"),
    *("difference of volume of left kidney to right kidney", "greatest volume of liver or spleen or left kidney"),
    *("whether volume of left kidney is more than right kidney", "whether length of spleen is more than 120 mm"),
    *("whether spleen is enlarged", "list of findings in largest kidneys", "list of vertebrae", "phase"),
    *("number of slices", "decline treatment", "picture", "location of cyst nearest to liver", "slices of heart"),
)
OBJECTS = (
    *("liver", "largest kidneys", "abdominal part of aorta", "vertebrae next below T12 vertebra"),
    *("lungs without left lung lower lobe and right lung lower lobe", "second largest cyst in smallest kidneys"),
    *("upper half of liver and spleen", "cyst on the left larger than 12.5 mm", "left kidney cyst nearest to liver"),
    *(
        "highest rib fracture",
        "left kidney and right kidney",
        "upper third of lungs at the level of T8 vertebra",
    ),
)


@pytest.mark.parametrize("text", QUERIES)
def test_query_reads_back(text: str) -> None:
    assert str(read_query(text)) == text


@pytest.mark.parametrize("text", OBJECTS)
def test_object_reads_back(text: str) -> None:
    assert str(read_object(text)) == text


def test_types_of_an_object() -> None:
    found = read_object("largest cyst in smallest kidneys on the left larger than 9 mm without liver")
    conditions = (Where("in", Place("kidneys", "smallest")), OnSide("left"), OfSize("larger than", 9.0))
    assert found == ObjectExpression((Item("cyst", "largest", None, conditions),), (Item("liver"),))
    assert found.keys == ("cyst", "kidneys", "liver")


def test_types_of_queries() -> None:
    liver, spleen = read_object("liver"), read_object("spleen")
    assert read_query("volume of liver, L") == AskMeasure("volume", liver, "L")
    assert read_query("whether density of liver is less than 40 HU") == AskMore("density", liver, "less", (40.0, "HU"))
    which = read_query("least density of liver or spleen")
    assert which == AskWhich("least", "density", (liver, spleen))
    assert objects_of(which) == (liver, spleen)


@pytest.mark.parametrize("text", ["", "volume of", "volume of Liver", "volume  of liver", "liver, mL", "largest", "x"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidPrompt):
        read_query(text)


@pytest.mark.parametrize("key", list(vocabulary.STRUCTURES))
def test_every_name_is_an_object(key: str) -> None:
    assert read_object(vocabulary.STRUCTURES[key].name).keys == (key,)


def test_grammar_of_some_names_has_no_other_name() -> None:
    text = grammar("object", ["liver"])
    assert '"liver"' in text
    assert "spleen" not in text


def _is_writable(text: str, start: Start) -> bool:
    """Whether llguidance lets a model write a text, byte by byte, and stop after it."""
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(writing_grammar(start)))
    tokens = tokenizer.tokenize_str(text)
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


@pytest.mark.parametrize("text", QUERIES)
def test_query_may_be_written(text: str) -> None:
    assert _is_writable(text, "query")


@pytest.mark.parametrize("text", OBJECTS)
def test_object_may_be_written(text: str) -> None:
    assert _is_writable(text, "object")


@pytest.mark.parametrize(
    "text", ["volume of Liver", "volume of liver ", "presence of", "liver", "volume of liver in mL"]
)
def test_other_text_may_not_be_written(text: str) -> None:
    assert not _is_writable(text, "query")
