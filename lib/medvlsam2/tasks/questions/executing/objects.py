"""Questions about one object: whether it is there, how many there are, on which side, at which level, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import be
from medvlsam2.data.query.queries import AskObject, ObjectQuestion
from medvlsam2.tasks.questions.executing import neighbours
from medvlsam2.tasks.questions.executing.measures import unknown
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.scene import Scene, all_plain, single_parts
from medvlsam2.tasks.questions.executing.sides import side_of
from medvlsam2.tasks.questions.replying.spoken import spoken

MOST_UNSURE: Final = 6
"""Names of parts that are not assessed in one answer."""


def about(query: AskObject, scene: Scene) -> Outcome:
    """What a query asks of one object."""
    things = scene.things(query.target)
    if query.what == "presence":
        return _presence(query, things, scene)
    if query.what == "count" and things.state == "absent":
        return Outcome(query=query, value=0, state="absent", reason=things.reason, things=(things,))
    if not things.is_present:
        return unknown(query, things)
    return _ANSWERS[query.what](query, things, scene)


def _presence(query: AskObject, things: Things, scene: Scene) -> Outcome:
    """True if all items of the expression are seen; what lies outside the field of view is not seen either."""
    single = [scene.things(type(query.target)((item,))) for item in query.target.items]
    several = len(single) > 1 and not query.target.without
    states = {each.state for each in single} if several else {things.state}
    is_finding = any(vocabulary.STRUCTURES[item.key].is_finding for item in query.target.items)
    placed = None if is_finding else _by_place(query, single, scene)
    if placed is not None:
        return placed
    if "not assessed" in states or (is_finding and "outside the field of view" in states):
        of_one = next((each for each in single if several and each.state == "not assessed"), things)
        return unknown(query, of_one)
    return Outcome(
        query=query,
        value=states == {"present"},
        state=things.state,
        reason="" if several else things.reason,
        things=tuple(single) if several else (things,),
        evidence=things.facts,
    )


def _by_place(query: AskObject, single: Sequence[Things], scene: Scene) -> Outcome | None:
    """True where each thing is seen or lies surely in the scan, and at least one of them has no reliable mask."""
    scan_range = scene.facts.scan_range()
    if scan_range is None or not all_plain(query.target):
        return None
    facts = [scene.facts.structure(item.key) for item in query.target.items]
    unmarked = [fact for fact in facts if fact.state == "not assessed"]
    if not unmarked or not all(fact.in_view or fact.is_present for fact in facts):
        return None
    why = f"{'It is' if len(unmarked) == 1 else 'They are'} not marked reliably, so nothing was measured."
    return Outcome(
        query=query,
        value=True,
        reason=f"The scan covers about {scan_range.levels()}. {why}",
        things=tuple(single),
        evidence=tuple(facts),
        details=(("by place", 1.0),),
    )


def _count(query: AskObject, things: Things, scene: Scene) -> Outcome:
    """The number of things that are seen; what is not assessed of a series is told."""
    members = [part for key in query.target.keys for part in single_parts(key)] if all_plain(query.target) else []
    if members and not any(fact.key in members for fact in things.each):
        name = spoken(query.target)
        reason = f"{name} {be(name)} only known all together, so nothing tells how many there are"
        return unknown(query, replace(things, state="not assessed", reason=reason))
    unsure = [fact.name for fact in scene.facts.structures(members) if fact.state == "not assessed"]
    shown = ", ".join(unsure[:MOST_UNSURE]) + (" …" if len(unsure) > MOST_UNSURE else "")
    reason = f"Not assessed: {shown}." if unsure else _limits(things)
    return Outcome(query=query, value=len(things.each), reason=reason, things=(things,), evidence=things.facts)


def _side(query: AskObject, things: Things, scene: Scene) -> Outcome:
    sides = {side_of(fact, scene) for fact in things.each}
    value = sides.pop() if len(sides) == 1 else "both" if {"left", "right"} <= sides else "middle"
    return Outcome(query=query, value=value, reason=_limits(things), things=(things,), evidence=things.facts)


def _limits(things: Things) -> str:
    """Of findings, where there may be more of them; what limits a structure is told with its sizes."""
    return things.reason if things.each[0].kind != "structure" else ""


def _level(query: AskObject, things: Things, scene: Scene) -> Outcome:
    assert things.whole is not None
    found = neighbours.level_of(things.whole, scene)
    if found is None:
        reason = "No vertebra is seen beside it, so its level is not known."
        return Outcome(query=query, state="not assessed", reason=reason, things=(things,))
    return Outcome(
        query=query,
        value=vocabulary.STRUCTURES[found.key].name.removesuffix(" vertebra"),
        things=(things,),
        evidence=(*things.facts, found),
    )


def _slices(query: AskObject, things: Things, scene: Scene) -> Outcome:
    assert things.whole is not None
    return Outcome(query=query, value=things.whole.slices, things=(things,), evidence=things.facts)


def _location(query: AskObject, things: Things, scene: Scene) -> Outcome:
    """The structures that hold the things, or else the structure that is nearest to the largest one."""
    if things.each[0].kind != "structure":
        holders = [neighbours.holder_of(fact, scene) for fact in things.each]
        names = tuple(dict.fromkeys(anatomy.name(key) for key in holders if key is not None))
        if names:
            value = names[0] if len(names) == 1 else names
            return Outcome(
                query=query,
                value=value,
                reason=_limits(things),
                things=(things,),
                evidence=things.facts,
                details=(("inside", 1.0),),
            )
    near = neighbours.nearest_structure(things.each[0], scene)
    if near is None:
        reason = "No structure beside it is known."
        return Outcome(query=query, state="not assessed", reason=reason, things=(things,))
    return Outcome(
        query=query,
        value=near.structure.name,
        things=(things,),
        evidence=(*things.facts, near.structure),
        details=(("inside", float(near.share >= neighbours.HELD_SHARE)), ("distance_mm", near.distance_mm)),
    )


def _description(query: AskObject, things: Things, scene: Scene) -> Outcome:
    """Everything that is measured of it; the value is the volume of everything together."""
    assert things.whole is not None
    details = {
        "count": float(len(things.each)),
        "longest": max(fact.longest_mm or 0.0 for fact in things.each),
        "hu": things.whole.mean_hu,
        "sd": things.whole.sd_hu,
    }
    return Outcome(
        query=query,
        value=things.whole.volume_ml,
        unit="mL",
        reason=things.reason,
        things=(things,),
        evidence=things.facts,
        details=tuple((name, value) for name, value in details.items() if value is not None),
    )


_ANSWERS: Final[dict[ObjectQuestion, Callable[[AskObject, Things, Scene], Outcome]]] = {
    "count": _count,
    "side": _side,
    "level": _level,
    "slices": _slices,
    "location": _location,
    "description": _description,
}
