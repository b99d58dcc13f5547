"""The door of this room: the object that an expression means in one scan, as a mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import FactState
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings.lesions import host_noun
from medvlsam2.data.language.grammar import millimetres
from medvlsam2.data.query.objects import Item, ObjectExpression, OfSize, OnSide, Pick, Place, Where
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.objects.conditions import LAST, neighbour, of_size, on_side, related
from medvlsam2.tasks.objects.parts import part_of
from medvlsam2.tasks.objects.picks import picked
from medvlsam2.tasks.objects.plain_english import in_english, singular
from medvlsam2.tasks.objects.things import Thing, Things, things_of

_NAMED: Final = 4
"""At most so many found objects are named in a sentence."""


@dataclass(frozen=True)
class FoundObject:
    """What an expression means in one scan."""

    expression: ObjectExpression
    state: FactState
    """"not assessed" also where a mask is known of which a name is unsure."""
    reason: str
    """One sentence: why nothing is found or not assessed; empty for what is surely present."""
    mask: KeptMask | None
    """The union of all objects; None without any voxel."""
    things: tuple[Thing, ...]
    """The single objects of which something remains, in the order of the expression; each is still whole."""
    keys: tuple[str, ...]
    """Vocabulary keys of the names whose masks were used, as exact as they are known."""
    understood_as: str
    """The expression in plain English."""
    notes: tuple[str, ...]
    """Sentences for the annotator about what limits the answer."""
    confidence: float
    """0..1, how often the least sure of the masks, or the least sure absence, was right; 0 where nothing is known."""

    @property
    def is_present(self) -> bool:
        """Whether it is surely seen."""
        return self.state == "present"

    @property
    def names(self) -> str:
        """The found objects in words, e.g. "left kidney"."""
        each = list(dict.fromkeys(thing.name for thing in self.things))
        return ", ".join(each[:_NAMED]) + (" …" if len(each) > _NAMED else "")


def find_object(expression: ObjectExpression, facts: Facts) -> FoundObject:
    """Find the object that an expression means.

    Args:
        expression: what is meant.
        facts: of the scan. Whoever asks must not hold the device (:class:`Facts`).

    Raises:
        Cancelled: if the work is no longer wanted.

    Space:
        masks on the scan's own grid; directions are the patient's.
    """
    look_ahead((expression,), facts)
    kept = [_find_item(item, facts) for item in expression.items]
    left_out = [_find_item(item, facts) for item in expression.without]
    things = tuple(thing for one in kept for thing in one.each)
    unknown = next((one for one in (*kept, *left_out) if one.state == "not assessed"), None)
    unsure = [thing for one in (*kept, *left_out) for thing in one.each if not thing.is_sure]
    notes = [note for one in (*kept, *left_out) for note in one.notes]
    notes += [one.reason for one in left_out if one.state in ("absent", "outside the field of view")]
    mask = None if unknown is not None else _union(things)
    if mask is not None and left_out:
        others = [thing for one in left_out for thing in one.each]
        mask = _without(mask, others)
        things = tuple(thing for thing in things if _without(thing.kept, others) is not None)
    if things:
        notes += [one.reason for one in kept if not one.each and one.reason]
    notes += [thing.limits for thing in things if thing.limits and thing.is_sure]
    state, reason = _state(kept, unknown, unsure, mask)
    keys = tuple(dict.fromkeys(thing.key for one in (*kept, *left_out) for thing in one.each))
    shown = () if unknown is not None else things
    told, sure = tuple(dict.fromkeys(notes)), _confidence(kept, left_out)
    return FoundObject(expression, state, reason, mask, shown, keys, in_english(expression), told, sure)


def look_ahead(expressions: Iterable[ObjectExpression], facts: Facts) -> None:
    """Look for all names that are surely needed at once: the model finds several in the time of a few.

    Args:
        expressions: what is meant.
        facts: of the scan.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    known = {key: vocabulary.STRUCTURES[key] for expression in expressions for key in expression.keys}
    facts.look_for(key for key, one in known.items() if facts.source.knows(key) and (one.is_finding or not one.parts))


def _state(
    kept: Sequence[Things], unknown: Things | None, unsure: Sequence[Thing], mask: KeptMask | None
) -> tuple[FactState, str]:
    if unknown is not None:
        return "not assessed", unknown.reason
    if mask is None:
        empty = next((one for one in kept if not one.each), None)
        if empty is None:
            return "absent", "Nothing remains of it without what is to be left out."
        return empty.state, empty.reason
    if unsure:
        return "not assessed", unsure[0].limits or f"The {unsure[0].name} is not seen surely."
    return "present", ""


def _confidence(kept: Sequence[Things], left_out: Sequence[Things]) -> float:
    """Of the objects that are used; of a name without an object, of its absence."""
    of_things = [thing.confidence for one in (*kept, *left_out) for thing in one.each]
    of_names = [one.confidence for one in kept if not one.each]
    return min((one for one in (*of_things, *of_names) if one is not None), default=0.0)


def _union(things: Sequence[Thing]) -> KeptMask | None:
    masks = [thing.kept for thing in things]
    return None if not masks else masks[0] if len(masks) == 1 else masks[0].union(*masks[1:])


def _without(mask: KeptMask, others: Sequence[Thing]) -> KeptMask | None:
    whole = mask.whole()
    for other in others:
        whole[other.kept.place] &= ~other.kept.in_box()
    return KeptMask.of(whole)


def _find_item(item: Item, facts: Facts) -> Things:
    """The objects of one item: conditions first, then the part, then the choice."""
    place = next((one.place.key for one in item.conditions if isinstance(one, Where) and one.relation == "in"), None)
    side = next((one.side for one in item.conditions if isinstance(one, OnSide)), None)
    named = _next_in_series(item, facts) or things_of(
        item.key, facts, place=place, side=side, one_by_one=item.pick is not None or bool(item.conditions)
    )
    if place is not None and named.state == "absent":
        named = replace(named, reason=f"No {singular(item.key)} is seen in {anatomy.the(place)}.")
    ordered = sorted(item.conditions, key=lambda one: isinstance(one, Where) and one.relation in LAST)
    for condition in ordered:
        if named.each:
            named = _under(named, condition, facts)
    if named.each and item.part is not None:
        named = _in_part(named, item, facts)
    if named.each and item.pick is not None:
        named = _chosen(named, item.pick)
    return named


def _next_in_series(item: Item, facts: Facts) -> Things | None:
    """The neighbour of a vertebra or rib, looked for by its own name; None for another item."""
    for condition in item.conditions:
        if not isinstance(condition, Where) or condition.relation not in ("next above", "next below"):
            continue
        key = condition.place.key
        if anatomy.is_numbered(key) and _is_of_series(item.key, key):
            wanted = neighbour(key, condition.relation)
            if wanted is None:
                where = condition.relation.removeprefix("next ")
                return Things(
                    item.key, (), "absent", f"There is no {singular(item.key)} {where} {anatomy.the(key)}.", True
                )
            return things_of(wanted, facts)
    return None


def _is_of_series(key: str, member: str) -> bool:
    """Whether a name means several of the series of a vertebra or rib, on the same side if it has one."""
    side = vocabulary.STRUCTURES[key].side
    return singular(key).rpartition(" ")[2] == host_noun(member) and side in (None, vocabulary.STRUCTURES[member].side)


def _under(named: Things, condition: Where | OnSide | OfSize, facts: Facts) -> Things:
    """The objects for which a condition holds."""
    if isinstance(condition, OnSide):
        kept = on_side(named.each, condition, facts)
        if kept is None:
            return _nothing(named, "Nothing in this scan tells left from right.", "not assessed")
        return _kept(named, kept, f"No {singular(named.key)} lies on the patient's {condition.side} side.")
    if isinstance(condition, OfSize):
        return _kept(named, of_size(named.each, condition), _none_of_size(named, condition))
    if condition.relation.startswith("next ") and _is_neighbour(named, condition):
        return named
    place = _place(condition.place, facts)
    if not place.each:
        return _nothing(named, place.reason, _without_place(place.state, condition))
    whole = _union(place.each)
    assert whole is not None
    sure = all(one.is_sure for one in place.each)
    there = Thing(condition.place.key if len(place.each) > 1 else place.each[0].key, whole, facts.volume)
    found = related(named.each, condition.relation, there, are_many=named.are_many)
    found = found if sure else [one.unsure() for one in found]
    where = f"{condition.relation} {anatomy.the(there.key)}"
    return _kept(named, found, f"No {singular(named.key)} is seen {where}.", place.notes)


def _is_neighbour(named: Things, condition: Where) -> bool:
    return [one.key for one in named.each] == [neighbour(condition.place.key, condition.relation)]


def _place(place: Place, facts: Facts) -> Things:
    named = things_of(place.key, facts, one_by_one=place.pick is not None)
    if not named.each or place.pick is None:
        return named
    return _chosen(named, place.pick)


def _without_place(state: FactState, condition: Where) -> FactState:
    """Nothing lies in what is not there; of other relations to it nothing can be said."""
    return (
        "absent" if state == "absent" and condition.relation == "in" else "not assessed" if state == "absent" else state
    )


def _none_of_size(named: Things, condition: OfSize) -> str:
    sizes = [thing.longest_mm for thing in named.each]
    extreme, word = (max(sizes), "largest") if condition.size == "larger than" else (min(sizes), "smallest")
    return (
        f"No {singular(named.key)} is {condition.size} {condition.diameter_mm:g} mm; the {word} has "
        f"{millimetres(extreme)}."
    )


def _in_part(named: Things, item: Item, facts: Facts) -> Things:
    assert item.part is not None
    parts = [(thing, part_of(thing, item.part, facts)) for thing in named.each]
    unknown = next((part for _, part in parts if not part.is_known), None)
    if unknown is not None:
        return _nothing(named, unknown.reason, "not assessed")
    ends = "The scan ends within the {}, so its {} is that of what is seen."
    cut = tuple(ends.format(one.name, item.part) for one in _cut(named))
    kept = [thing.cut_to(part.kept) for thing, part in parts if part.kept is not None]
    return _kept(named, kept, f"Nothing of the {item.part} of {anatomy.the(named.key)} is seen.", cut)


def _chosen(named: Things, pick: Pick) -> Things:
    chosen = picked(named.each, pick)
    reason = f"Only one {singular(named.key)} is seen, so there is no second one."
    cut = _cut(named) if pick in ("largest", "second largest", "smallest") and len(named.each) > 1 else []
    notes = tuple(f"The scan ends within the {one.name}, so its size is not that of the whole." for one in cut)
    return _kept(named, [] if chosen is None else [chosen], reason, notes)


def _cut(named: Things) -> list[Thing]:
    return [one for one in named.each if one.is_cut and not vocabulary.STRUCTURES[one.key].is_finding]


def _kept(named: Things, each: Sequence[Thing], reason: str, notes: tuple[str, ...] = ()) -> Things:
    """The objects that are left; where none is, the reason says why."""
    state: FactState = "present" if each else "absent"
    if not each and not all(thing.is_sure for thing in named.each):
        state = "not assessed"
    told = "" if each else reason
    return replace(named, each=tuple(each), state=state, reason=told, notes=(*named.notes, *notes))


def _nothing(named: Things, reason: str, state: FactState) -> Things:
    return replace(named, each=(), state=state, reason=reason)
