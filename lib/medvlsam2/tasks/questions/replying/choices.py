"""Multiple choice: the choice that agrees with the value that was computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import count_word
from medvlsam2.data.quantities import unit_of
from medvlsam2.data.query.queries import AskList, AskObject, AskState
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.units import are_of_one_kind, converted

TOLERANCE: Final = 0.1
"""A number agrees if it differs from the value by at most this share. Measurements of one lesion by two readers differ
by about as much (Erasmus et al., J Clin Oncol 2003: 10 % of diameters)."""
_NUMBER: Final = r"(\d[\d,]*(?:\.\d+)?)"
_UNIT: Final = r"\s*(cc|cm3|cm³|ml|l|mm|cm|hu|%)?"
_RANGE: Final = re.compile(rf"{_NUMBER}{_UNIT}\s*(?:-|–|to|and)\s*{_NUMBER}{_UNIT}", re.IGNORECASE)
_LIMIT: Final = re.compile(
    rf"(?P<more>more than|greater than|larger than|over|above|at least|>=?|≥)?"
    rf"(?P<less>less than|smaller than|under|below|at most|up to|<=?|≤)?\s*{_NUMBER}{_UNIT}",
    re.IGNORECASE,
)
_YES: Final = re.compile(r"^\W*(yes|true|present|visible|seen)\b", re.IGNORECASE)
_NO: Final = re.compile(r"^\W*(no|not|false|absent|none|invisible)\b", re.IGNORECASE)
_NOTHING: Final = re.compile(r"\b(no|none|normal|nothing|unremarkable)\b", re.IGNORECASE)
_MISSING: Final = re.compile(r"\b(not|cannot|can't|missing|absent|isn't|aren't|outside)\b", re.IGNORECASE)
_COUNTS: Final = {count_word(number): number for number in range(11)} | {"none": 0, "zero": 0}
_SIDES: Final = {
    "left": ("left",),
    "right": ("right",),
    "both": ("both", "bilateral"),
    "middle": ("mid", "both", "cent"),
}


@dataclass(frozen=True)
class Choice:
    """The choice that is taken."""

    index: int
    agrees: bool
    """Whether it agrees with the value; otherwise it is only the nearest one."""


def chosen(choices: Sequence[str], outcome: Outcome, polar: bool | None = None) -> Choice | None:
    """Return the choice that agrees best with the value; None if no choice can be compared with it.

    Args:
        choices: as they were given.
        outcome: with a value.
        polar: the value as yes or no, where the question wants that.
    """
    value = outcome.value if polar is None else polar
    match value:
        case bool():
            return _yes_or_no(choices, value) or _of_state(choices, outcome)
        case int() | float():
            return _nearest(choices, float(value), outcome.unit)
        case str() | tuple() if value in _SIDES:
            return _side(choices, str(value))
        case str():
            return _named(choices, (value,))
        case tuple() if isinstance(outcome.query, AskObject) and outcome.query.what == "slices":
            return None
        case tuple():
            names = tuple(str(each) for each in value)
            return _named(choices, names) if names else _first(choices, _NOTHING)
        case _:
            return None


def keys_of(choices: Sequence[str]) -> tuple[str, ...] | None:
    """Return the vocabulary keys of choices that are all names; None if one is none.

    Example:
        >>> keys_of(["the liver", "lt kidney"]), keys_of(["liver", "yes"])
        (('liver', 'kidney_left'), None)
    """
    known = [vocabulary.lookup(_bare(choice)) for choice in choices]
    return tuple(each.key for each in known if each is not None) if all(known) else None


def asks_for_seen(question: str, outcome_query: object) -> bool | None:
    """Return whether a question asks which of its choices is seen (True) or is not seen (False); None: neither."""
    if not isinstance(outcome_query, AskList) or outcome_query.category == "findings":
        return None
    return _MISSING.search(question) is None


def _yes_or_no(choices: Sequence[str], value: bool) -> Choice | None:
    return _first(choices, _YES if value else _NO)


def _of_state(choices: Sequence[str], outcome: Outcome) -> Choice | None:
    """The choice that names a state, such as "enlarged", or "normal" where it is not in the state."""
    if not isinstance(outcome.query, AskState):
        return None
    wanted = outcome.query.state if outcome.value else "normal"
    return _first(choices, re.compile(rf"\b{wanted}\b", re.IGNORECASE))


def _first(choices: Sequence[str], pattern: re.Pattern[str]) -> Choice | None:
    return next((Choice(number, True) for number, each in enumerate(choices) if pattern.search(each)), None)


def _side(choices: Sequence[str], value: str) -> Choice | None:
    for number, choice in enumerate(choices):
        words = choice.lower()
        others = [side for side in ("left", "right") if side != value and side in words and value in _SIDES[value]]
        if any(word in words for word in _SIDES[value]) and not (value in ("left", "right") and others):
            return Choice(number, True)
    return None


def _named(choices: Sequence[str], names: Sequence[str]) -> Choice | None:
    """The choice that means one of the names, or else shares most words with one of them."""
    keys = {known.key for name in names if (known := vocabulary.lookup(name)) is not None}
    for number, choice in enumerate(choices):
        known = vocabulary.lookup(_bare(choice))
        if _bare(choice) in names or (known is not None and known.key in keys):
            return Choice(number, True)
    within = [number for number, choice in enumerate(choices) if any(_is_part_of(choice, name) for name in names)]
    if len(within) == 1:
        return Choice(within[0], True)
    shared = [max(_alike(choice, name) for name in names) for choice in choices]
    best = max(range(len(choices)), key=lambda number: shared[number])
    return Choice(best, False) if shared[best] > 0 else None


def _is_part_of(choice: str, name: str) -> bool:
    """Whether a choice says the same with fewer words, or a structure holds it: "cyst" for "left kidney cyst"."""
    words, own = set(_words(choice)), set(_words(name))
    if words and (words <= own or own <= words):
        return True
    held, holder = vocabulary.lookup(name), vocabulary.lookup(_bare(choice))
    return held is not None and holder is not None and held.key in anatomy.leaves(holder.key)


def _alike(choice: str, name: str) -> float:
    words, own = set(_words(choice)), set(_words(name))
    return len(words & own) / max(len(words | own), 1)


def _words(text: str) -> list[str]:
    return [word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in ("the", "a", "an")]


def _bare(text: str) -> str:
    return re.sub(r"^\s*(?:[A-Za-z][.):]\s+)?(?:the |an? |in the )?", "", text.strip(), flags=re.IGNORECASE).rstrip(
        " ."
    )


def _nearest(choices: Sequence[str], value: float, unit: str) -> Choice | None:
    gaps = [_gap(choice, value, unit) for choice in choices]
    known = [number for number, gap in enumerate(gaps) if gap is not None]
    if not known:
        return None
    best = min(known, key=lambda number: gaps[number] or 0.0)
    gap = gaps[best]
    assert gap is not None
    return Choice(best, gap <= (TOLERANCE if unit else 0.0) or (not unit and value % 1 != 0 and gap <= TOLERANCE))


def _gap(choice: str, value: float, unit: str) -> float | None:
    """Share of the value by which a choice differs from it; None if the choice tells no number of this kind."""
    span = _RANGE.search(choice)
    if span is not None:
        last_unit = span[4] or unit
        low, high = _in_unit(span[1], span[2] or last_unit, unit), _in_unit(span[3], last_unit, unit)
        return None if low is None or high is None else _away(value, low, high)
    limit = _LIMIT.search(choice)
    if limit is not None and limit[3]:
        number = _in_unit(limit[3], limit[4] or unit, unit)
        if number is None:
            return None
        if limit["more"]:
            return _away(value, number, float("inf"))
        return _away(value, float("-inf") if limit["less"] else number, number)
    word = _COUNTS.get(_bare(choice).lower().partition(" ")[0])
    return None if word is None or unit else _away(value, float(word), float(word))


def _away(value: float, low: float, high: float) -> float:
    distance = max(low - value, value - high, 0.0)
    return distance / max(abs(value), 1e-9)


def _in_unit(number: str, given: str, wanted: str) -> float | None:
    unit = unit_of(given) if given else wanted
    parsed = float(number.replace(",", ""))
    if unit == wanted:
        return parsed
    return converted(parsed, unit, wanted) if are_of_one_kind(unit, wanted) else None  # type: ignore[arg-type]
