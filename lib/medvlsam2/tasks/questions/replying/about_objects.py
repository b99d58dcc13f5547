"""Sentences about one object: there, how many, side, level, slices, place, description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.grammar import be, count_word, is_plural, join, with_article
from medvlsam2.data.quantities import told
from medvlsam2.data.query.queries import AskObject, ObjectQuestion
from medvlsam2.tasks.measure.lesions import is_countable
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.replying.listing import size_of, takes_article
from medvlsam2.tasks.questions.replying.spoken import noun, spoken


def object_sentence(outcome: Outcome) -> str:
    """Return the answer to a question about one object."""
    assert isinstance(outcome.query, AskObject)
    return _SENTENCES[outcome.query.what](outcome)


def subject(things: Things) -> str:
    """Return the words for things that are seen: "the liver", "the kidney cyst", "the three kidney cysts"."""
    if not is_finding(things) or len(things.expression.items) != 1 or things.expression.without:
        return spoken(things.expression)
    item, count = things.expression.items[0], len(things.each)
    if count == 1 or item.pick is not None:
        return spoken(things.expression)
    return f"the {count_word(count)} {noun(item, count)}"


def is_finding(things: Things) -> bool:
    """Return whether an expression means findings."""
    return vocabulary.STRUCTURES[things.expression.items[0].key].is_finding


def _presence(outcome: Outcome) -> str:
    things = outcome.things
    if outcome.detail.get("by place"):
        placed = [spoken(each.expression) for each in things]
        its, be_in = ("their", "are") if len(placed) > 1 else ("its", be(placed[0]))
        return f"yes, by {its} place {join(placed)} {be_in} in the field of view"
    if len(things) > 1:
        seen = [spoken(each.expression) for each in things if each.is_present]
        missing = [spoken(each.expression) for each in things if not each.is_present]
        if not missing:
            return f"yes, {join(seen)} are visible"
        told_seen = f"{join(seen)} {_are(seen)} visible, but " if seen else ""
        return f"no, {told_seen}{join(missing)} {_are(missing)} not visible"
    one = things[0]
    if is_finding(one) and one.expression.items[0].pick is None:
        return _finding_presence(one, seen=bool(outcome.value))
    name = spoken(one.expression)
    if outcome.value:
        return f"yes, {name} {be(name)} visible"
    why = outcome.reason.strip().rstrip(".") if outcome.state == "outside the field of view" else ""
    return f"no, {name} {be(name)} not visible" + (f": {why[0].lower()}{why[1:]}" if why else "")


def _finding_presence(things: Things, *, seen: bool) -> str:
    item = things.expression.items[0]
    if not seen:
        return f"no, no {noun(item)} is seen"
    count, largest = (
        len(things.each),
        max(things.each, key=lambda fact: (fact.longest_mm or 0.0, fact.volume_ml or 0.0)),
    )
    size = size_of(largest)
    if count == 1 or not is_countable(item.key):
        side = largest.side if count == 1 and largest.side is not None else None
        name = f"{side} {noun(item)}" if side is not None and side not in noun(item) else noun(item)
        name = with_article(name) if takes_article(largest) else name
        return f"yes, there is {name}{f', which measures {size}' if size and count == 1 else ''}"
    return f"yes, there are {count_word(count)} {noun(item, count)}{f'; the largest measures {size}' if size else ''}"


def any_of(things: Things) -> str:
    """Return the words for findings that are not there: "liver cyst"."""
    return noun(things.expression.items[0])


def _count(outcome: Outcome) -> str:
    things, count = outcome.things[0], outcome.value
    assert isinstance(count, int)
    if len(things.expression.items) > 1 or things.expression.without:
        names = join(list(dict.fromkeys(fact.name for fact in things.each)))
        return f"{count_word(count)} {'is' if count == 1 else 'are'} seen: {names}" if count else "none of them is seen"
    item = things.expression.items[0]
    if count == 0:
        return f"there are no {noun(item, 2)}" if item.part is None else f"{spoken(things.expression)} is not seen"
    return f"there {'is' if count == 1 else 'are'} {count_word(count)} {noun(item, count)}"


def _side(outcome: Outcome) -> str:
    name = subject(outcome.things[0])
    many = _many(outcome.things[0], name)
    if outcome.value == "middle":
        return f"{name} {many} across the middle of the body"
    return f"{name} {many} on {'both sides' if outcome.value == 'both' else f'the {outcome.value} side'}"


def _level(outcome: Outcome) -> str:
    name = subject(outcome.things[0])
    return f"{name} {_many(outcome.things[0], name)} at the level of the {outcome.value} vertebra"


def _slices(outcome: Outcome) -> str:
    assert isinstance(outcome.value, tuple)
    name = subject(outcome.things[0])
    first, last = outcome.value
    return f"{name} {_many(outcome.things[0], name)} seen from slice {first} to slice {last}, counted from 0"


def _location(outcome: Outcome) -> str:
    things, value = outcome.things[0], outcome.value
    name = subject(things)
    names = list(value) if isinstance(value, tuple) else [str(value)]
    places = join([_the(str(each)) for each in names])
    verb = _many(things, name)
    if outcome.detail.get("inside"):
        return f"{name} {verb} in {places}"
    distance_mm = outcome.detail.get("distance_mm", 0.0)
    if distance_mm == 0:
        return f"{name} {verb} beside {places}"
    return f"{name} {verb} nearest to {places}, {told(distance_mm, 'mm')} away"


def _description(outcome: Outcome) -> str:
    things, detail = outcome.things[0], outcome.detail
    assert isinstance(outcome.value, float)
    name = subject(things)
    has = "have" if _many(things, name) == "are" else "has"
    least = "at least " if any(fact.cut for fact in things.each) else ""
    parts = [f"a volume of {least}{told(outcome.value, 'mL')}"]
    if detail.get("longest"):
        parts.append(f"a longest diameter of {least}{told(detail['longest'], 'mm')}")
    if "hu" in detail:
        parts.append(f"a mean density of {told(detail['hu'], 'HU')}")
    span = outcome.slices
    where = "" if span is None else f"; {'they lie' if has == 'have' else 'it lies'} on slices {span[0]} to {span[1]}"
    return f"{name} {has} {join(parts)}{where}{', counted from 0' if where else ''}"


def _many(things: Things, name: str) -> str:
    if is_finding(things) and len(things.each) > 1 and things.expression.items[0].pick is None:
        return "are"
    return "are" if len(things.expression.items) > 1 else be(name)


def _are(names: list[str]) -> str:
    return "are" if len(names) > 1 or is_plural(names[0]) else "is"


def _the(name: str) -> str:
    return name if name[-1].isdigit() else f"the {name}"


_SENTENCES: Final[dict[ObjectQuestion, Callable[[Outcome], str]]] = {
    "presence": _presence,
    "count": _count,
    "side": _side,
    "level": _level,
    "slices": _slices,
    "location": _location,
    "description": _description,
}
