"""Volume, diameters and density of things, in the unit that was asked for; ratios, differences and orders of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medvlsam2.data.fact_table import Fact, FactState
from medvlsam2.data.query.queries import (
    AskDifference,
    AskMeasure,
    AskMore,
    AskRatio,
    AskWhich,
    Measure,
    Query,
    Unit,
)
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.executing.units import USUAL, converted, is_unit_of


def measured(query: AskMeasure, scene: Scene) -> Outcome:
    """How large or dense an object is."""
    things = scene.things(query.target)
    missing = first_without((things,), query.measure)
    if missing is not None:
        return unknown(query, missing)
    unit = _unit(query.unit, query.measure)
    fact = measured_on(things, query.measure)
    value = converted(value_of(things, query.measure), USUAL[query.measure], unit)
    wrong = "" if query.unit in (None, unit) else f"A {query.measure} is not told in {query.unit}; {unit} is used."
    return Outcome(
        query=query,
        value=value,
        unit=unit,
        reason=" ".join(filter(None, [wrong, things.reason])),
        things=(things,),
        evidence=things.facts if query.measure in ("volume", "density") else (fact,),
        details=tuple(_details(fact, query.measure).items()),
    )


def compared(query: AskRatio | AskDifference, scene: Scene) -> Outcome:
    """A ratio or difference of a measure of two objects."""
    both = (scene.things(query.first), scene.things(query.second))
    missing = first_without(both, query.measure)
    if missing is not None:
        return unknown(query, missing, both)
    first, second = (value_of(things, query.measure) for things in both)
    details = (("first", first), ("second", second))
    evidence = tuple(fact for things in both for fact in things.facts)
    if isinstance(query, AskRatio):
        unit: Unit | None = "%" if query.unit == "%" else None
        if second == 0:
            reason = f"The {query.measure} of the second object is 0, so there is no ratio."
            return Outcome(query=query, state="not assessed", reason=reason, things=both, evidence=evidence)
        value = first / second * (100 if unit else 1)
        return Outcome(query=query, value=value, unit=unit or "", things=both, evidence=evidence, details=details)
    if query.unit == "%" and second:
        value = (first - second) / second * 100
        return Outcome(query=query, value=value, unit="%", things=both, evidence=evidence, details=details)
    wanted = _unit(query.unit, query.measure)
    value = converted(first - second, USUAL[query.measure], wanted)
    return Outcome(query=query, value=value, unit=wanted, things=both, evidence=evidence, details=details)


def which(query: AskWhich, scene: Scene) -> Outcome:
    """Which of some objects has most, or least, of a measure."""
    among = tuple(scene.things(expression) for expression in query.among)
    unsure = next((things for things in among if things.state in ("not assessed", "outside the field of view")), None)
    seen = [things for things in among if things.is_present]
    unsure = unsure or first_without(seen, query.measure)
    if not seen or unsure is not None:
        return unknown(query, unsure or among[0], among)
    sign = -1 if query.order == "greatest" else 1
    ordered = sorted(seen, key=lambda things: sign * value_of(things, query.measure))
    chosen = ordered[0]
    return Outcome(
        query=query,
        value=_name(chosen),
        things=among,
        chosen=chosen,
        evidence=tuple(fact for things in ordered for fact in things.facts),
        details=tuple((str(things.expression), value_of(things, query.measure)) for things in ordered),
    )


def more(query: AskMore, scene: Scene) -> Outcome:
    """Whether a measure of an object is more, or less, than that of another, or than a number."""
    first = scene.things(query.first)
    both: tuple[Things, ...] = (first,)
    if not isinstance(query.second, tuple):
        both = (first, scene.things(query.second))
    missing = first_without(both, query.measure)
    if missing is not None:
        return unknown(query, missing, both)
    value = value_of(first, query.measure)
    if isinstance(query.second, tuple):
        number, unit = query.second
        if not is_unit_of(unit, query.measure):
            reason = f"A {query.measure} is not told in {unit}."
            return Outcome(query=query, state="not assessed", reason=reason, things=both)
        limit = converted(number, unit, USUAL[query.measure])
    else:
        limit = value_of(both[1], query.measure)
    return Outcome(
        query=query,
        value=value > limit if query.order == "more" else value < limit,
        things=both,
        evidence=tuple(fact for things in both for fact in things.facts),
        details=(("first", value), ("second", limit)),
    )


def first_without(several: Sequence[Things], measure: Measure) -> Things | None:
    """Return the first of some things that is not seen, or of which nobody measured this; None if all are measured."""
    for things in several:
        if things.whole is None:
            return things
        if _field(measured_on(things, measure), measure) is None:
            reason = f"The {measure} of the {things.whole.name} is not measured."
            return replace(things, state="not assessed", reason=reason)
    return None


def value_of(things: Things, measure: Measure) -> float:
    """A measure in its usual unit.

    The volume is that of everything together. The density is the mean over everything, weighted by volume. Diameters
    of several findings are those of the finding with the longest one.
    """
    assert things.whole is not None
    if measure == "density" and things.whole.kind == "finding":
        return _mean_hu(things.each)
    value = _field(measured_on(things, measure), measure)
    assert value is not None
    return value


def measured_on(things: Things, measure: Measure) -> Fact:
    """The fact that a measure is told of: the finding with the longest diameter, or everything together."""
    assert things.whole is not None
    if measure in ("length", "short axis") and len(things.each) > 1:
        return max(things.each, key=lambda fact: fact.longest_mm or 0.0)
    return things.whole


def _field(fact: Fact, measure: Measure) -> float | None:
    is_ruled = fact.kind == "rule" and fact.value is not None and fact.unit == "mm"
    fields = {
        "volume": fact.volume_ml,
        "length": fact.value if is_ruled else fact.longest_mm,
        "short axis": fact.short_axis_mm,
        "density": fact.mean_hu,
    }
    return fields[measure]


def unknown(query: Query, things: Things, all_things: Sequence[Things] = ()) -> Outcome:
    """The outcome where an object is not seen or not assessed."""
    state: FactState = things.state if things.state != "present" else "not assessed"
    return Outcome(query=query, state=state, reason=things.reason, things=tuple(all_things) or (things,), chosen=things)


def _mean_hu(facts: Sequence[Fact]) -> float:
    weights = [fact.volume_ml or 0.0 for fact in facts]
    return float(np.average([fact.mean_hu or 0.0 for fact in facts], weights=weights if sum(weights) else None))


def _unit(asked: Unit | None, measure: Measure) -> Unit:
    return asked if asked is not None and is_unit_of(asked, measure) else USUAL[measure]


def _details(fact: Fact, measure: Measure) -> dict[str, float]:
    told: dict[str, float | None] = {}
    if measure == "density":
        told = {"sd": fact.sd_hu}
    elif measure == "length":
        told = {"short axis": fact.short_axis_mm, "in space": fact.length_mm}
    return {name: value for name, value in told.items() if value is not None}


def _name(things: Things) -> str:
    assert things.whole is not None
    return things.whole.name.removeprefix("the ")
