"""The grammar of the language in Lark's notation, made from the types, so that types and grammar cannot differ.

``lark`` parses by it, and ``llguidance`` limits by it what a language model may write. Spaces are part of the literals,
and nothing is ignored between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, get_args

from medvlsam2.data import vocabulary
from medvlsam2.data.query import objects, queries

Start = Literal["query", "object"]

_RULES = """
query: about | measured | distance | compared | which | more | state | listed | scan | decline | picture
about: ASKED " of " object
measured: MEASURE " of " object unit?
distance: "distance from " object " to " object unit?
compared: COMPARED " of " MEASURE " of " object " to " object unit?
which: ORDER " " MEASURE " of " object (" or " object)+
more: "whether " MEASURE " of " object " is " MORE " than " (object | amount)
state: "whether " object " is " STATE
listed: "list of " CATEGORY (" in " place)?
scan: SCAN
decline: "decline " REFUSAL
picture: "picture"
unit: ", " UNIT
amount: NUMBER " " UNIT

object: union (" without " union)?
union: item (" and " item)*
item: (PICK " ")? (PART " of ")? NAME (" " condition)*
condition: RELATION " " place -> where
    | "on the " SIDE -> on_side
    | SIZE " " NUMBER " mm" -> of_size
place: (PICK " ")? NAME

NUMBER: /[0-9]{1,5}([.][0-9]{1,2})?/
COMPARED: "ratio" | "difference"
ORDER: "greatest" | "least"
MORE: "more" | "less"
SIDE: "left" | "right"
"""
_TYPES = {
    "ASKED": queries.ObjectQuestion,
    "MEASURE": queries.Measure,
    "STATE": queries.State,
    "CATEGORY": queries.Category,
    "SCAN": queries.ScanQuestion,
    "REFUSAL": queries.Refusal,
    "UNIT": queries.Unit,
    "PICK": objects.Pick,
    "PART": objects.Part,
    "RELATION": objects.Relation,
    "SIZE": objects.Size,
}


def grammar(start: Start, keys: Iterable[str] | None = None) -> str:
    """The grammar of queries, or of object expressions alone.

    Args:
        start: what is written.
        keys: vocabulary keys of the names that may be written, at least one; None: all names.
    """
    return _grammar(start, None if keys is None else frozenset(keys))


def writing_grammar(start: Start, keys: Iterable[str] | None = None) -> str:
    """The same grammar for llguidance: its literals are single words and single spaces.

    The lexer of llguidance takes the longest literal and never goes back: after "left kidney" and a space it would
    wait for "left kidney cyst". Between single words and spaces no such choice exists.

    Args:
        start: what is written.
        keys: as for :func:`grammar`.
    """
    return re.sub(r'"[^"]+"|\b[A-Z]{2,}\b', _by_words, grammar(start, keys))


@cache
def _grammar(start: Start, keys: frozenset[str] | None) -> str:
    allowed = [each.name for key, each in vocabulary.STRUCTURES.items() if keys is None or key in keys]
    choices = {"NAME": allowed} | {name: get_args(type_) for name, type_ in _TYPES.items()}
    terminals = [f"{name}: {_choice(texts)}" for name, texts in choices.items()]
    return "\n".join([f"start: {start}", _RULES.strip(), *terminals, ""])


def _choice(texts: Iterable[str]) -> str:
    return " | ".join(_quoted(text) for text in texts)


def _by_words(found: re.Match[str]) -> str:
    """A literal as the literals of its words and spaces; the name of a terminal as the name of a rule."""
    if found[0].startswith('"'):
        return f"({' '.join(_quoted(part) for part in re.split('( |,)', found[0][1:-1]) if part)})"
    return found[0] if found[0] == "NUMBER" else f"{found[0].lower()}_word"


def _quoted(text: str) -> str:
    return f'"{text}"'
