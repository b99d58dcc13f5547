"""What is known of a finding in one place: on one side, in one kidney, of one vertebra.

A finding that is present on the left says nothing of the right: there it may be absent, or the right kidney may not be
seen. So who asks of one side asks here, and who counts on both sides adds the sentence of :func:`limits`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.structures.table import Side
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.mask_source import OUTSIDE
from medvlsam2.tasks.measure.whereabouts import hosts_of, sites


def on_side(side: Side) -> frozenset[str]:
    """All structures on one side of the patient."""
    return frozenset(key for key, known in vocabulary.STRUCTURES.items() if known.side == side)


def finding_in(key: str, places: Set[str], facts: Facts) -> tuple[Fact, ...]:
    """The facts of a finding or of a rule in some structures: those that are present, or one that says why none is.

    Where the places hold everything that was looked at, or nothing of it, these are the facts of the whole scan.

    Args:
        key: of a finding of the vocabulary, or of a rule.
        places: structures with their parts (``anatomy.leaves``).
        facts: of the scan.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    everywhere = _by_place(key, facts)
    within = [fact for fact in everywhere if fact.structure in places]
    if not within or len(within) == len(everywhere):
        return _anywhere(key, facts)
    present = tuple(fact for fact in _anywhere(key, facts) if fact.is_present and _may_lie_in(fact, places))
    of_rule = tuple(fact for fact in within if fact.is_present)
    return present or of_rule or tuple(sorted(within, key=lambda fact: fact.is_known))


def limits(key: str, facts: Facts) -> str:
    """Sentences about the places in which a finding that is present elsewhere may lie too; "" if there are none.

    Args:
        key: of a finding of the vocabulary.
        facts: of the scan.
    """
    unknown = [fact for fact in _by_place(key, facts) if fact.side is not None and not fact.is_known]
    cut = [fact for fact in _by_place(key, facts) if fact.is_present and fact.kind == "finding" and fact.reason]
    return " ".join(dict.fromkeys(fact.reason for fact in (*unknown, *cut) if fact.reason))


def _anywhere(key: str, facts: Facts) -> tuple[Fact, ...]:
    known = vocabulary.STRUCTURES.get(key)
    return facts.finding(key) if known is not None and known.is_finding else (facts.rule(key),)


def _may_lie_in(fact: Fact, places: Set[str]) -> bool:
    """Whether a lesion lies in some structures, or may, because nothing tells which structure holds it."""
    return fact.structure in places or (fact.side is None and fact.kind == "finding")


def _by_place(key: str, facts: Facts) -> tuple[Fact, ...]:
    """What is known of each place where a finding may lie; nothing for findings that have one place, or any."""
    if key in facts.rules and (parts := facts.parts(key)):
        return parts
    known = vocabulary.STRUCTURES.get(key)
    if known is None or not known.is_finding or (key in facts.rules and facts.rule(key).is_known):
        return ()
    if facts.is_joined(key):
        return tuple(_placed(fact, part) for part in known.parts for fact in facts.finding(part))
    hosts = hosts_of(key)
    if len(hosts) < 2 or not facts.source.knows(key):
        return ()
    lesions = [fact for fact in facts.finding(key) if fact.is_present]
    if any(fact.side is None for fact in lesions):
        return ()
    free = [host for host in hosts if not any(fact.side == anatomy.side(host) for fact in lesions)]
    return (*lesions, *(_of_host(key, host, facts) for host in free))


def _placed(fact: Fact, part: str) -> Fact:
    """The fact of one side with the structure of this side."""
    places = sites(part)
    return fact if fact.structure in places or len(places) != 1 else replace(fact, structure=places[0])


def _of_host(key: str, host: str, facts: Facts) -> Fact:
    """What is known of a finding in one structure in which none is marked."""
    known, seen = vocabulary.STRUCTURES[key], facts.structure(host)
    fact = Fact(
        id=f"{key}_{anatomy.side(host)}",
        key=key,
        kind="finding",
        name=f"{anatomy.side(host)} {known.name}",
        code=known.snomed,
        state="absent",
        structure=host,
        side=anatomy.side(host),
    )
    if facts.tells(host) and seen.is_present:
        return fact
    return replace(
        fact,
        state=OUTSIDE if seen.state == OUTSIDE else "not assessed",
        reason=seen.reason or f"The {seen.name} is not seen.",
    )
