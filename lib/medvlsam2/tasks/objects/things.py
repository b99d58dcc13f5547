"""The single objects that a name can mean: lesions of a finding, the two of a pair, members of a series, or one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactState
from medvlsam2.data.language.anatomy import is_numbered, is_pair, leaves
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.language.findings.lesions import GENERIC_LESIONS
from medvlsam2.data.language.grammar import join
from medvlsam2.data.structures.table import Side
from medvlsam2.data.volume import CTVolume
from medvlsam2.geometry import voxel_volume_ml
from medvlsam2.tasks.measure.by_place import finding_in, limits, on_side
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.lesions import MIN_ML
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import Measures, measure, pieces_of
from medvlsam2.tasks.measure.sources.whole_masks import is_joined
from medvlsam2.tasks.measure.whereabouts import sites
from medvlsam2.tasks.objects.plain_english import singular
from medvlsam2.tasks.objects.shapes import Shape
from medvlsam2.tasks.phrases.wholes import held_by, is_row

_ALSO: Final = {"lesion": GENERIC_LESIONS | {"stone", "fracture"}, "mass": frozenset({"tumor", "mass"})}
"""Kinds of findings that a general word means as well."""
CUT: Final = "The scan ends within"
"""Beginning of the reason of facts that the scan cuts; for sizes and parts, where it matters, there are own notes."""
_COUNTED: Final = frozenset({"lymph_node"})
"""Structures without parts of which a scan shows many."""


@dataclass(frozen=True, eq=False)
class Thing:
    """One object with its mask.

    Args:
        key: vocabulary key of its name, as exact as it is known: "kidney_left" for one of the kidneys.
        kept: its mask.
        volume: the scan.
        fact: the fact of the whole object; None for a part of one.
        side: of the patient; None if it is not known by name or host.
        host: vocabulary key of the structure that holds a lesion.
        is_sure: False where its name is not assessed, though there is a mask.
        limits: one sentence: what limits what is known of it.
        confidence: 0..1, of its name; None where it is not known.
    """

    key: str
    kept: KeptMask
    volume: CTVolume
    fact: Fact | None = None
    side: Side | None = None
    host: str | None = None
    is_sure: bool = True
    limits: str = ""
    confidence: float | None = None

    @property
    def name(self) -> str:
        """Name that people read."""
        return vocabulary.STRUCTURES[self.key].name

    @cached_property
    def shape(self) -> Shape:
        """Where it lies."""
        return Shape(self.kept, self.volume.affine)

    @cached_property
    def measures(self) -> Measures:
        """What it measures."""
        return measure(self.kept, self.volume)

    @property
    def longest_mm(self) -> float:
        """Longest diameter on one slice."""
        told = None if self.fact is None else self.fact.longest_mm
        return self.measures.longest_mm if told is None else told

    @property
    def mean_hu(self) -> float:
        """Mean HU."""
        told = None if self.fact is None else self.fact.mean_hu
        return self.measures.mean_hu if told is None else told

    @property
    def is_cut(self) -> bool:
        """Whether the scan ends within it."""
        return self.fact is not None and self.fact.cut

    def cut_to(self, kept: KeptMask) -> Thing:
        """A part of it."""
        return replace(self, kept=kept, fact=None)

    def unsure(self) -> Thing:
        """The same object, not surely the one that is meant."""
        return replace(self, is_sure=False)


@dataclass(frozen=True)
class Things:
    """The objects of a name, or why there are none.

    Args:
        key: the name.
        each: the objects.
        state: "present" with objects; what is known without any.
        reason: one sentence: why there are none.
        are_many: whether the name can mean several objects.
        notes: sentences about members that are not seen.
        confidence: 0..1, of the least sure statement about one of them; None where it is not known.
    """

    key: str
    each: tuple[Thing, ...]
    state: FactState
    reason: str
    are_many: bool
    notes: tuple[str, ...] = ()
    confidence: float | None = None


def things_of(
    key: str, facts: Facts, *, place: str | None = None, side: Side | None = None, one_by_one: bool = False
) -> Things:
    """Look for the objects of a name.

    Args:
        key: vocabulary key.
        facts: of the scan.
        place: vocabulary key of the structure in which a finding is asked for.
        side: of the patient on which a finding is asked for. What lies elsewhere is left out, so that its absence here
            is not told where this place was not assessed.
        one_by_one: whether the members of a whole must be known.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    if vocabulary.STRUCTURES[key].is_finding:
        keys = _kinds(key, facts, place)
        facts.look_for(keys)
        places = leaves(place) if place is not None else on_side(side) if side is not None else None
        lesions = [fact for one in keys for fact in _findings(one, places, facts)]
        limited = () if places is not None else (limits(one, facts) for one in keys)
        found = _of_all_kinds(_gathered(key, lesions, facts, are_many=True), lesions, _unknown_kinds(key, facts, place))
        return replace(found, notes=(*found.notes, *filter(None, limited))) if found.each else found
    members = members_of(key)
    known = [one for one in members if facts.source.knows(one) or is_joined(one, facts.source)]
    if len(known) == len(members) > 0 or (one_by_one and known and is_row(key)):
        told = facts.structures(known)
        unknown = next((fact for fact in told if fact.state == "not assessed" and fact.mask is None), None)
        if unknown is None or not one_by_one or is_row(key):
            return _gathered(key, told, facts, are_many=True)
        return Things(key, (), "not assessed", unknown.reason or _default(unknown.name, unknown.state), are_many=True)
    if members and one_by_one:
        reason = f"The single members of the {vocabulary.STRUCTURES[key].name} are not all known."
        return Things(key, (), "not assessed", reason, are_many=True)
    return _gathered(key, facts.structures((key,)), facts, are_many=False)


def _findings(key: str, places: frozenset[str] | None, facts: Facts) -> tuple[Fact, ...]:
    return facts.finding(key) if places is None else finding_in(key, places, facts)


def is_known(key: str, facts: Facts) -> bool:
    """Whether facts can hold a mask of a name, of one of its members, or of a kind of it; rules have masks of findings.

    Args:
        key: vocabulary key.
        facts: of the scan.
    """
    others = _kinds(key, facts, None) if vocabulary.STRUCTURES[key].is_finding else members_of(key)
    return any(facts.source.knows(one) or one in facts.rules for one in (key, *others))


def is_of_facts(key: str, facts: Facts) -> bool:
    """Whether a name is a finding's of which the facts tell something, by a mask, by a search or by a rule.

    Its mask is then that of the facts wherever it is asked for, so that no text differs from what is marked.

    Args:
        key: vocabulary key.
        facts: of the scan.
    """
    return vocabulary.STRUCTURES[key].is_finding and is_known(key, facts)


def is_counted(key: str) -> bool:
    """Whether an object with this name is one of many: a lesion, a lymph node, a vertebra or a rib."""
    return vocabulary.STRUCTURES[key].is_finding or key in _COUNTED or is_numbered(key)


def members_of(key: str) -> tuple[str, ...]:
    """The single objects of a name: each vertebra or rib of a series, the two of a pair; none of other names.

    Example:
        >>> members_of("kidneys"), len(members_of("ribs")), members_of("lung_left")
        (('kidney_left', 'kidney_right'), 24, ())
    """
    if is_row(key):
        held = held_by(key)
        return tuple(one for one in vocabulary.STRUCTURES if one in held and is_numbered(one) and one[-1].isdigit())
    return vocabulary.STRUCTURES[key].parts if is_pair(key) else ()


def _kinds(key: str, facts: Facts, place: str | None) -> tuple[str, ...]:
    """The findings that a name means: itself, or the special kinds that a general word such as "cyst" stands for."""
    known = tuple(one for one in _covered(key, facts, place) if _is_assessed(one, facts))
    return known or (key,)


def _unknown_kinds(key: str, facts: Facts, place: str | None) -> tuple[str, ...]:
    """The kinds of a general word that nothing can tell, though the scan may show where they lie."""
    unknown = [one for one in _covered(key, facts, place) if not _is_assessed(one, facts)]
    return tuple(one for one in unknown if facts.out_of_view(one, far=True) is None)


def _is_assessed(finding: str, facts: Facts) -> bool:
    return facts.source.knows(finding) or finding in facts.rules


def _covered(key: str, facts: Facts, place: str | None) -> tuple[str, ...]:
    """All kinds of findings that a general word stands for in a place; none for a finding with a name of its own."""
    known = vocabulary.STRUCTURES[key]
    base = key.removesuffix(f"_{known.side}")
    if key in facts.source.findings or base in FINDING_KEYS.values():
        return ()
    word = base.rpartition("_")[2]
    kinds = {word} | _ALSO.get(word, frozenset())
    special = dict.fromkeys(name for (kind, _), name in FINDING_KEYS.items() if kind in kinds)
    where = place or known.site
    return tuple(one for one in special if where is None or _may_lie_in(one, where))


def _of_all_kinds(found: Things, told: Sequence[Fact], unknown: Sequence[str]) -> Things:
    """What is known of a general word: absent only if each kind is that the scan may show, and none without a mask.

    Args:
        found: what the kinds that are told give together.
        told: the facts of these kinds.
        unknown: the other kinds.
    """
    kinds = dict.fromkeys(fact.key for fact in told)
    if len(kinds) + len(unknown) < 2:
        return found
    unsure = [fact.name for fact in told if fact.state == "not assessed" and fact.mask is None]
    missing = list(dict.fromkeys([*unsure, *(vocabulary.STRUCTURES[one].name for one in unknown)]))
    if found.each:
        return replace(found, notes=(*found.notes, f"Not assessed: {join(missing)}.")) if missing else found
    if not any(fact.state == "absent" for fact in told):
        return found
    name = singular(found.key)
    if not missing:
        return replace(found, state="absent", reason=_default(name, "absent"))
    reason = f"No {name} is seen among the kinds that are assessed; not assessed: {join(missing)}."
    return replace(found, state="not assessed", reason=reason)


def _may_lie_in(finding: str, place: str) -> bool:
    """Whether a place is, holds, or is a part of a structure in which a finding lies."""
    hosts = {leaf for site in sites(finding) for leaf in leaves(site)}
    return not hosts or not hosts.isdisjoint(leaves(place)) or bool(hosts & held_by(place))


def _gathered(key: str, told: Iterable[Fact], facts: Facts, *, are_many: bool) -> Things:
    everything = list(told)
    each = [thing for fact in everything for thing in _of_fact(fact, facts)]
    if each:
        return Things(key, tuple(each), "present", "", are_many, _missing(everything), _least(everything))
    state, reason = _nothing(key, everything)
    return Things(key, (), state, reason, are_many, confidence=_least(everything))


def _least(told: Sequence[Fact]) -> float | None:
    return min((fact.confidence for fact in told if fact.confidence is not None), default=None)


def _of_fact(fact: Fact, facts: Facts) -> Sequence[Thing]:
    kept, is_sure = facts.kept_mask(fact), fact.is_present
    if kept is None or not (is_sure or (fact.state == "not assessed" and fact.kind == "structure")):
        return ()  # of a finding the mask of what measuring disproved is kept, and is no object
    limits = "" if fact.cut and fact.reason.startswith(CUT) else fact.reason
    whole = Thing(fact.key, kept, facts.volume, fact, fact.side, fact.structure, is_sure, limits, fact.confidence)
    if fact.key not in _COUNTED:
        return (whole,)
    first, *others = pieces_of(kept)
    least = MIN_ML / voxel_volume_ml(facts.volume.affine)
    return [whole.cut_to(piece) for piece in (first, *(one for one in others if one.voxels >= least))]


def _missing(told: Sequence[Fact]) -> tuple[str, ...]:
    """Of a pair a sentence for the one that is not seen; ribs and vertebrae beyond the scan's ends are no news."""
    missing = [fact for fact in told if fact.mask is None]
    if len(told) != 2 or len(missing) != 1 or vocabulary.STRUCTURES[missing[0].key].is_finding:
        return ()
    fact = missing[0]
    return (f"Of both only one is seen: the {fact.name} is {fact.state}.",)


def _nothing(key: str, told: Sequence[Fact]) -> tuple[FactState, str]:
    """What is known of a name without a mask: the most cautious of what is known of its members."""
    name = vocabulary.STRUCTURES[key].name
    states: tuple[FactState, ...] = ("not assessed", "outside the field of view", "absent")
    for state in states:
        fitting = [fact for fact in told if fact.state == state]
        if fitting:
            return state, next((fact.reason for fact in fitting if fact.reason), _default(name, state))
    return "not assessed", _default(name, "not assessed")


def _default(name: str, state: FactState) -> str:
    if state == "absent":
        return f"No {name} is seen in this scan."
    if state == "not assessed":
        return f"Nothing is known of the {name} in this scan."
    return f"The {name} lies outside of this scan."
