"""Reading of the language: from its text to types. The text of a type is its ``str``."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args

from medvlsam2.data import vocabulary
from medvlsam2.data.query.grammar import Start, grammar
from medvlsam2.data.query.objects import Item, ObjectExpression, OfSize, OnSide, Place, Where
from medvlsam2.data.query.queries import (
    AskDifference,
    AskDistance,
    AskList,
    AskMeasure,
    AskMore,
    AskObject,
    AskPicture,
    AskRatio,
    AskScan,
    AskState,
    AskWhich,
    Decline,
    Query,
    Unit,
)
from medvlsam2.errors import InvalidPrompt


def read_query(text: str) -> Query:
    """The query that a text of the language means.

    Raises:
        InvalidPrompt: if the text does not follow the grammar.

    Example:
        >>> read_query("volume of left kidney, mL").unit
        'mL'
    """
    return cast("Query", _read(text, "query"))


def read_object(text: str) -> ObjectExpression:
    """The object expression that a text of the language means.

    Raises:
        InvalidPrompt: if the text does not follow the grammar.

    Example:
        >>> read_object("largest cyst in left kidney").keys
        ('cyst', 'kidney_left')
    """
    return cast("ObjectExpression", _read(text, "object"))


def _read(text: str, start: Start) -> object:
    try:
        return _Types().transform(_parser(start).parse(text))
    except UnexpectedInput as error:
        raise InvalidPrompt(
            f"'{text[:200]}' is no {start} of the query language: it goes wrong at character {error.pos_in_stream}. "
            "Write it as `data/query/grammar.py` says, such as 'volume of liver, mL'."
        ) from error


@cache
def _parser(start: Start) -> Lark:
    return Lark(grammar(start), parser="lalr", maybe_placeholders=False, start="start")


@cache
def _key_of() -> dict[str, str]:
    return {structure.name: key for key, structure in vocabulary.STRUCTURES.items()}


def _one(items: list[Any], kind: str) -> Any:
    """The value of the one token of a kind; None without such a token."""
    return next((str(item) for item in items if isinstance(item, Token) and item.type == kind), None)


@v_args(inline=False)
class _Types(Transformer[Token, Any]):
    """From the tree of a text to the types; one method for each rule."""

    def start(self, items: list[Any]) -> Any:
        return items[0]

    query = start

    def place(self, items: list[Any]) -> Place:
        return Place(_key_of()[_one(items, "NAME")], _one(items, "PICK"))

    def where(self, items: list[Any]) -> Where:
        return Where(_one(items, "RELATION"), items[-1])

    def on_side(self, items: list[Any]) -> OnSide:
        return OnSide(_one(items, "SIDE"))

    def of_size(self, items: list[Any]) -> OfSize:
        return OfSize(_one(items, "SIZE"), float(_one(items, "NUMBER")))

    def item(self, items: list[Any]) -> Item:
        conditions = tuple(each for each in items if not isinstance(each, Token))
        return Item(_key_of()[_one(items, "NAME")], _one(items, "PICK"), _one(items, "PART"), conditions)

    def union(self, items: list[Any]) -> tuple[Item, ...]:
        return tuple(items)

    def object(self, items: list[Any]) -> ObjectExpression:
        return ObjectExpression(*items)

    def unit(self, items: list[Any]) -> str:
        return str(items[0])

    def amount(self, items: list[Any]) -> tuple[float, Unit]:
        return float(items[0]), cast("Unit", str(items[1]))

    def about(self, items: list[Any]) -> AskObject:
        return AskObject(_one(items, "ASKED"), items[1])

    def measured(self, items: list[Any]) -> AskMeasure:
        return AskMeasure(_one(items, "MEASURE"), *items[1:])

    def distance(self, items: list[Any]) -> AskDistance:
        return AskDistance(*items)

    def compared(self, items: list[Any]) -> AskRatio | AskDifference:
        kind = AskRatio if _one(items, "COMPARED") == "ratio" else AskDifference
        return kind(_one(items, "MEASURE"), *items[2:])

    def which(self, items: list[Any]) -> AskWhich:
        return AskWhich(_one(items, "ORDER"), _one(items, "MEASURE"), tuple(items[2:]))

    def more(self, items: list[Any]) -> AskMore:
        return AskMore(_one(items, "MEASURE"), items[1], _one(items, "MORE"), items[-1])

    def state(self, items: list[Any]) -> AskState:
        return AskState(items[0], _one(items, "STATE"))

    def listed(self, items: list[Any]) -> AskList:
        return AskList(_one(items, "CATEGORY"), items[1] if len(items) > 1 else None)

    def scan(self, items: list[Any]) -> AskScan:
        return AskScan(_one(items, "SCAN"))

    def decline(self, items: list[Any]) -> Decline:
        return Decline(_one(items, "REFUSAL"))

    def picture(self, items: list[Any]) -> AskPicture:
        del items
        return AskPicture()
