"""Questions that refer to the query before: "and the right one?", "in cm?", "where is it?"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import pick
from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.naming import single
from medvlsam2.data.language.querying.patterns import Split, content, expanded, patterns, words
from medvlsam2.data.language.querying.phrasing import spoken
from medvlsam2.data.language.querying.questions import random_question
from medvlsam2.data.language.querying.slots import UNITS_OF, unit_word
from medvlsam2.data.query.objects import Condition, Item, ObjectExpression, OnSide, Place, Where
from medvlsam2.data.query.queries import (
    AskDifference,
    AskList,
    AskMeasure,
    AskMore,
    AskObject,
    AskState,
    Measure,
    Query,
)

_Target = AskObject | AskMeasure | AskState
_ASKED_OF_IT: Final[tuple[tuple[str, Any], ...]] = (
    *(("where", "location"), ("where", "location"), ("count", "count"), ("side", "side"), ("level", "level")),
    *(("slices", "slices"), ("description", "description"), ("presence", "presence")),
)


@dataclass(frozen=True)
class FollowUp:
    """A query, the one before, and a wording that can only be understood with it."""

    query: Query
    text: str
    before: Query


def random_followup(rng: np.random.Generator, split: Split) -> FollowUp:
    """Return a random question that refers to the one before."""
    makers: Sequence[Callable[[np.random.Generator, Split], FollowUp]] = (
        *(_other_side, _other_side, _other_side, _other_object, _other_object, _other_object, _other_unit),
        *(_other_measure, _asked_of_it, _asked_of_it, _size_of_it, _state_of_it, _picked, _compared),
        *(_other_host, _other_host, _other_finding, _together),
    )
    return pick(rng, makers)(rng, split)


def mirrored(expression: ObjectExpression) -> ObjectExpression:
    """Return an expression with left and right exchanged; the same one if it has no side."""
    return ObjectExpression(tuple(map(_mirrored, expression.items)), tuple(map(_mirrored, expression.without)))


def _mirrored(item: Item) -> Item:
    return replace(item, key=vocabulary.mirror(item.key), conditions=tuple(map(_mirrored_condition, item.conditions)))


def _mirrored_condition(condition: Condition) -> Condition:
    match condition:
        case OnSide(side=side):
            return OnSide("right" if side == "left" else "left")
        case Where(place=place):
            return replace(condition, place=Place(vocabulary.mirror(place.key), place.pick))
        case _:
            return condition


def _before(rng: np.random.Generator, split: Split) -> _Target:
    """A query about one object."""
    while True:
        query = random_question(rng, split).query
        if isinstance(query, AskObject | AskMeasure | AskState) and len(query.target.items) == 1:
            return query


def _with_target(query: _Target, target: ObjectExpression) -> _Target:
    return replace(query, target=target)


def _said(group: str, rng: np.random.Generator, split: Split, **slots: str) -> str:
    return expanded(pick(rng, patterns(f"then {group}", split)), rng).format(**slots)


def _other_side(rng: np.random.Generator, split: Split) -> FollowUp:
    while True:
        before = _before(rng, split)
        if rng.random() < 0.6:
            pair = pick(rng, drawing.pairs())
            before = _with_target(before, drawing.one(Item(pick(rng, vocabulary.STRUCTURES[pair].parts))))
        target = mirrored(before.target)
        if target != before.target:
            break
    side = _side(target)
    group = "other_side" if rng.random() < 0.7 else "other_side_unnamed"
    item = target.items[0]
    pair_key = anatomy.pair(item.key)
    one = single(pair_key, rng, split) if pair_key in drawing.pairs() and pair_key is not None else "one"
    return FollowUp(_with_target(before, target), _said(group, rng, split, side=side, single=one), before)


def _side(target: ObjectExpression) -> str:
    """The first side in an expression."""
    return next(word for word in str(target).split() if word in ("left", "right"))


def _other_object(rng: np.random.Generator, split: Split) -> FollowUp:
    """Ask the same of something else. After "cyst in liver", a lone organ would mean the cysts in it: `_other_host`."""
    before = _before(rng, split)
    if not drawing.is_finding(before.target):
        target = drawing.structure(rng)
    elif _is_placed(before.target):
        target = _placed_finding(rng)
    elif isinstance(before, AskMeasure) and rng.random() < 0.3:
        target = drawing.structure(rng)
    else:
        target = drawing.finding(rng)
    if isinstance(before, AskState):
        target = drawing.structure(rng)
    phrase = spoken(target, rng, split)
    text = _said("other_object", rng, split, the=phrase.the, x=phrase.one)
    return FollowUp(_with_target(before, target), text, before)


def _is_placed(target: ObjectExpression) -> bool:
    """Whether a finding lies in a structure that its name or its conditions tell."""
    item = target.items[0]
    return vocabulary.STRUCTURES[item.key].site is not None or any(isinstance(each, Where) for each in item.conditions)


def _placed_finding(rng: np.random.Generator) -> ObjectExpression:
    while True:
        target = drawing.finding(rng)
        if _is_placed(target):
            return target


def _other_host(rng: np.random.Generator, split: Split) -> FollowUp:
    """Ask "and in the spleen?" after a question about a finding in the liver, or about all findings there."""
    if rng.random() < 0.15:
        first, second = rng.choice(drawing.keys_of("list_places"), size=2, replace=False).tolist()
        held = spoken(drawing.one(Item(second)), rng, split)
        text = _said("other_host", rng, split, host=held.one, the_host=held.the)
        return FollowUp(AskList("findings", Place(second)), text, AskList("findings", Place(first)))
    hosts = content("sensible")["hosts"]
    before = _about_finding(rng)
    kind = _kind(before.target.items[0].key)
    host = pick(rng, hosts[kind].split())
    item = replace(before.target.items[0], key=kind, conditions=(Where("in", Place(host)),))
    target = drawing.one(item)
    if target == before.target:
        return _other_host(rng, split)
    held = spoken(drawing.one(Item(host)), rng, split)
    text = _said("other_host", rng, split, host=held.one, the_host=held.the)
    return FollowUp(_with_target(before, target), text, before)


def _about_finding(rng: np.random.Generator) -> AskObject | AskMeasure:
    """A question about a finding in a structure, or anywhere, to which "and in the spleen?" can follow."""
    hosts = content("sensible")["hosts"]
    what: Any = pick(rng, ("presence",) * 5 + ("count",) * 4 + ("length", "volume"))
    key = pick(rng, tuple(hosts))
    item = Item(key)
    if (chance := rng.random()) < 0.6:
        item = Item(key, None, None, (Where("in", Place(pick(rng, hosts[key].split()))),))
    elif chance < 0.85:
        item = Item(pick(rng, [each for each in drawing.keys_of("counted_findings") if _kind(each) in hosts]))
    if what in ("presence", "count"):
        return AskObject(what, drawing.one(item))
    return AskMeasure(what, drawing.one(replace(item, pick=pick(rng, ("largest", "largest", None)))))


def _kind(key: str) -> str:
    """The finding without its organ: "cyst" for a liver cyst."""
    return key if key in content("sensible")["hosts"] else key.rpartition("_")[2]


def _other_finding(rng: np.random.Generator, split: Split) -> FollowUp:
    """Ask "and stones?" after a question about cysts in the left kidney."""
    hosts = content("sensible")["hosts"]
    first = pick(rng, tuple(hosts))
    host = pick(rng, hosts[first].split())
    others = [key for key in hosts if key != first and host in hosts[key].split()]
    if not others:
        return _other_finding(rng, split)
    what: Any = pick(rng, ("presence", "presence", "count"))
    place = Where("in", Place(host))
    before, query = (
        AskObject(what, drawing.one(Item(key, None, None, (place,)))) for key in (first, pick(rng, others))
    )
    phrase = spoken(drawing.one(Item(query.target.items[0].key)), rng, split)
    text = _said("other_finding", rng, split, xs=phrase.many, x=phrase.one, a=phrase.a)
    return FollowUp(query, text, before)


def _together(rng: np.random.Generator, split: Split) -> FollowUp:
    """Ask "and both together?" after a question about one of a pair: the volume of the pair, or the number in it."""
    pair = pick(rng, drawing.pairs())
    part = pick(rng, vocabulary.STRUCTURES[pair].parts)
    inside = [key for key, hosts in content("sensible")["hosts"].items() if part in hosts.split()]
    asked: list[_Target]
    if inside and rng.random() < 0.3:
        finding = Item(pick(rng, inside))
        found = [replace(finding, conditions=(Where("in", Place(host)),)) for host in (part, pair)]
        asked = [AskObject("count", drawing.one(item)) for item in found]
    else:
        unit = pick(rng, (None, None, None, *UNITS_OF["volume"]))
        asked = [AskMeasure("volume", drawing.one(Item(key)), unit) for key in (part, pair)]
    before, query = asked
    return FollowUp(query, _said("together", rng, split, pair=vocabulary.STRUCTURES[pair].name), before)


def _measured(rng: np.random.Generator, split: Split) -> AskMeasure:
    while True:
        query = _before(rng, split)
        if isinstance(query, AskMeasure):
            return query


def _other_unit(rng: np.random.Generator, split: Split) -> FollowUp:
    before = _measured(rng, split)
    while before.measure == "density":
        before = _measured(rng, split)
    unit = pick(rng, [unit for unit in UNITS_OF[before.measure] if unit != before.unit])
    text = _said("other_unit", rng, split, unit=unit_word(unit, rng))
    return FollowUp(replace(before, unit=unit), text, before)


def _other_measure(rng: np.random.Generator, split: Split) -> FollowUp:
    before = _before(rng, split)
    kind: Measure = pick(rng, ("volume", "length", "density", "density", "short axis"))
    word = pick(rng, words(content("measure_words")["measures"][kind]))
    return FollowUp(AskMeasure(kind, before.target), _said("other_measure", rng, split, measure=word), before)


def _asked_of_it(rng: np.random.Generator, split: Split) -> FollowUp:
    before = _before(rng, split)
    group, what = pick(rng, _ASKED_OF_IT)
    return FollowUp(AskObject(what, before.target), _said(group, rng, split), before)


def _size_of_it(rng: np.random.Generator, split: Split) -> FollowUp:
    """Ask "how big is it?": the length of a finding, the volume of a structure."""
    before = _before(rng, split)
    finding = drawing.is_finding(before.target)
    text = _said("size_length" if finding else "size_volume", rng, split)
    query = AskMeasure("length" if finding else "volume", before.target)
    if "mL" in text:
        query = replace(query, unit="mL")
    elif "mm" in text or "millimetres" in text:
        query = replace(query, unit="mm")
    return FollowUp(query, text, before)


def _state_of_it(rng: np.random.Generator, split: Split) -> FollowUp:
    before = _with_target(_before(rng, split), drawing.structure(rng))
    state: Any = pick(rng, ("normal", "normal", "enlarged"))
    return FollowUp(AskState(before.target, state), _said(state, rng, split), before)


def _picked(rng: np.random.Generator, split: Split) -> FollowUp:
    """Ask "and the largest one?" of several findings."""
    before = _with_target(_before(rng, split), drawing.finding(rng))
    if isinstance(before, AskState) or (isinstance(before, AskObject) and before.what in ("presence", "count")):
        before = AskMeasure("length", before.target)
    group: Any = pick(rng, ("largest", "smallest"))
    item = replace(before.target.items[0], pick=group)
    plain = _with_target(before, drawing.one(replace(item, pick=None)))
    return FollowUp(_with_target(before, drawing.one(item)), _said(group, rng, split), plain)


def _compared(rng: np.random.Generator, split: Split) -> FollowUp:
    before = _measured(rng, split)
    if (second := drawing.structure(rng)) == before.target:
        return _compared(rng, split)
    more = pick(rng, words(content("measure_words")["more"][before.measure]))
    the = spoken(second, rng, split).the
    if rng.random() < 0.5:
        query: Query = AskMore(before.measure, before.target, "more", second)
        return FollowUp(query, _said("more", rng, split, the=the, more=more), before)
    query = AskDifference(before.measure, before.target, second, before.unit)
    return FollowUp(query, _said("compared", rng, split, the=the), before)
