"""Numbers and units of a question are taken from its words, not from what a model wrote for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.queries import (
    AskDifference,
    AskDistance,
    AskMeasure,
    AskMore,
    AskRatio,
    AskWhich,
    Query,
    Unit,
)

_UNITS: Final[dict[Unit, str]] = {
    "mL": r"ml|millilit(?:er|re)s?|cc|ccm|cm3|cm³|cubic cent\w+",
    "L": r"l|lit(?:er|re)s?",
    "mm": r"mm|millimet(?:er|re)s?",
    "cm": r"cm|centimet(?:er|re)s?",
    "HU": r"hu|hounsfield(?: units?)?",
    "%": r"%|per ?cent|percentage",
}
"""How questions write each unit."""
_LENGTHS: Final = ("mm", "cm")
_VOLUMES: Final = ("mL", "L")
_ANY: Final = "|".join(f"(?P<u{number}>{words})" for number, words in enumerate(_UNITS.values()))
_AMOUNT: Final = re.compile(rf"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s*-?(?:{_ANY})(?![\w³])", re.IGNORECASE)
_UNIT: Final = re.compile(rf"(?<![\w])(?:{_ANY})(?![\w³])", re.IGNORECASE)
_DENIED: Final = re.compile(rf"\b(?:not|instead of|rather than)\s+(?:in\s+)?(?:{_ANY})(?![\w³])", re.IGNORECASE)

_MAYBE_LITRES: Final = re.compile(r"\bl\b|lit|\b(?:that|it|one)\b|^\W*and\b", re.IGNORECASE)
"""Words for litres, also misspelt, and words that refer to the question before, which may have named them."""


def amounts_in(text: str) -> tuple[tuple[float, Unit], ...]:
    """Return the numbers with a unit in a text.

    Example:
        >>> amounts_in("Is it longer than 12 cm, or has it 1,200 ml?")
        ((12.0, 'cm'), (1200.0, 'mL'))
    """
    return tuple((float(found[1].replace(",", "")), _unit_of(found)) for found in _AMOUNT.finditer(text))


def unit_in(text: str) -> Unit | None:
    """Return the last unit that a text names without a number before it and does not deny; None if it names none.

    Example:
        >>> unit_in("The liver has 5 L. How large is it in ml, not in cm?"), unit_in("How large is it?")
        ('mL', None)
    """
    found = [_unit_of(each) for each in _UNIT.finditer(_DENIED.sub(" ", _AMOUNT.sub(" ", text)))]
    return found[-1] if found else None


def as_worded(query: Query, question: str, choices: Sequence[str] = ()) -> Query:
    """Return a query with the unit and the limit that the question's words name, and with its choices' names.

    A unit also tells what is measured: a size in mL, or with choices in mL, is a volume.

    Args:
        query: as it was written.
        question: as it was asked.
        choices: of multiple choice.
    """
    unit = unit_in(question)
    match query:
        case AskMeasure():
            offered = {each for choice in choices for _, each in amounts_in(choice)}
            known = _measured_in(query, unit or _one_kind(offered))
            return replace(known, unit=unit or (known.unit if _may_name(known.unit, question) else None))
        case AskDistance() | AskDifference() if unit is not None:
            return replace(query, unit=unit)
        case AskRatio() if unit == "%":
            return replace(query, unit="%")
        case AskMore(second=tuple()):
            return _with_limit(query, question)
        case AskWhich():
            among = _named_by(choices)
            return replace(query, among=among) if among else query
        case _:
            return query


def _may_name(unit: Unit | None, question: str) -> bool:
    """Whether a question may name a unit; a model takes the "L" of a vertebra for litres."""
    return unit != "L" or _MAYBE_LITRES.search(question) is not None


def _measured_in(query: AskMeasure, unit: Unit | None) -> AskMeasure:
    if unit in _VOLUMES and query.measure != "volume":
        return replace(query, measure="volume", unit=None)
    if unit in _LENGTHS and query.measure in ("volume", "density"):
        return replace(query, measure="length", unit=None)
    return replace(query, measure="density", unit=None) if unit == "HU" else query


def _with_limit(query: AskMore, question: str) -> AskMore:
    """The limit is the only amount of the question, and its unit tells what is measured."""
    given = amounts_in(question)
    if len(given) != 1:
        return query
    number, unit = given[0]
    kind = _measured_in(AskMeasure(query.measure, query.first), unit)
    return replace(query, measure=kind.measure, second=(number, unit))


def _one_kind(units: set[Unit]) -> Unit | None:
    """One of some units, if they are all volumes or all lengths or all the same."""
    for kind in (_VOLUMES, _LENGTHS, ("HU",)):
        if units and units <= set(kind):
            return next(iter(units))
    return None


def _named_by(choices: Sequence[str]) -> tuple[ObjectExpression, ...]:
    """The structures that all of the choices name; none if a choice is no name."""
    known = [
        vocabulary.lookup(re.sub(r"^(?:the|an?)\s+", "", choice.strip(), flags=re.IGNORECASE)) for choice in choices
    ]
    return tuple(ObjectExpression((Item(each.key),)) for each in known if each is not None) if all(known) else ()


def _unit_of(found: re.Match[str]) -> Unit:
    return next(unit for number, unit in enumerate(_UNITS) if found[f"u{number}"] is not None)
