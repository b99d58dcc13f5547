"""Kinds of queries: the words with which the text of a query begins, or by which it is told apart from others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

from medvlsam2.data.query.queries import (
    AskDifference,
    AskDistance,
    AskList,
    AskMeasure,
    AskMore,
    AskObject,
    AskRatio,
    AskScan,
    AskState,
    AskWhich,
    Category,
    Comparison,
    Decline,
    Measure,
    ObjectQuestion,
    Order,
    Query,
    ScanQuestion,
    State,
)

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "measure": get_args(Measure),
    "state": get_args(State),
    "list": tuple(f"list of {category}" for category in get_args(Category)),
    "scan": get_args(ScanQuestion),
    "which": get_args(Order),
}
"""Names that stand for several kinds."""
KINDS: Final[frozenset[str]] = frozenset(
    (
        *(kind for kinds in (get_args(ObjectQuestion), *GROUPS.values()) for kind in kinds),
        *(*get_args(Comparison), "distance", "more", "decline", "picture"),
    )
)
"""All kinds. "more" is the question whether a measure is more, or less, than another one or than a number."""

NAMELESS: Final[frozenset[str]] = frozenset((*GROUPS["list"], *GROUPS["scan"], "decline", "picture"))
"""Kinds of queries that need no name of a structure or finding."""


def kind_of(query: Query) -> str:
    """Return the kind of a query.

    Example:
        >>> from medvlsam2.data.query.reading import read_query
        >>> kind_of(read_query("volume of liver, mL")), kind_of(read_query("whether liver is fatty"))
        ('volume', 'fatty')
    """
    match query:
        case AskObject(what=kind) | AskScan(what=kind) | AskMeasure(measure=kind) | AskState(state=kind):
            return kind
        case AskWhich(order=order):
            return order
        case AskList(category=category):
            return f"list of {category}"
        case _:
            return _NAMED.get(type(query), "picture")


def of_groups(names: Iterable[str]) -> frozenset[str]:
    """Return kinds with every group among them replaced by its kinds.

    Raises:
        ValueError: if a name is neither a kind nor a group.

    Example:
        >>> sorted(of_groups(["which", "presence"]))
        ['greatest', 'least', 'presence']
    """
    found = frozenset(kind for name in names for kind in GROUPS.get(name, (name,)))
    if unknown := found - KINDS:
        raise ValueError(
            f"Unknown kinds of queries: {sorted(unknown)}. Kinds are {sorted(KINDS)}, groups {list(GROUPS)}."
        )
    return found


_NAMED: Final[dict[type, str]] = {
    AskDistance: "distance",
    AskRatio: "ratio",
    AskDifference: "difference",
    AskMore: "more",
    Decline: "decline",
}
