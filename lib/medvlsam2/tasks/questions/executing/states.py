"""States of structures that rules prove: enlarged, dilated, fatty …, and normal."""

from __future__ import annotations

from dataclasses import replace

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import be
from medvlsam2.data.query.queries import AskState
from medvlsam2.tasks.questions.executing.lists import findings, is_in, judgements
from medvlsam2.tasks.questions.executing.measures import unknown
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.rule_subjects import PROOFS, finding_rules, subjects
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.replying.spoken import spoken


def state_of(query: AskState, scene: Scene) -> Outcome:
    """Whether a structure is in a state: what the rules about it say."""
    things = scene.things(query.target)
    if not things.is_present:
        return unknown(query, things)
    if query.state == "normal":
        return _normal(query, things, scene)
    own = keys_of(things)
    judged = [fact for key in PROOFS[query.state] if own & subjects(key) for fact in judgements(key, scene, own)]
    judged = [fact for fact in judged if fact.side is None or fact.side in _sides(things)]
    judged = [fact if not fact.is_present or is_in(fact, things, scene) else _elsewhere(fact) for fact in judged]
    if not judged:
        reason = f"No rule measures whether {spoken(query.target)} {be(spoken(query.target))} {query.state}."
        return Outcome(query=query, state="not assessed", reason=reason, things=(things,))
    present = [fact for fact in judged if fact.is_present]
    decisive = next(iter(present), None) or next((fact for fact in judged if fact.is_known), None)
    unsure = [fact for fact in judged if not fact.is_known]
    if decisive is None:
        return Outcome(query=query, state="not assessed", reason=unsure[0].reason, things=(things,))
    return Outcome(
        query=query,
        value=decisive.is_present,
        state=decisive.state,
        reason=decisive.reason or (unsure[0].reason if unsure and not present else ""),
        things=(things,),
        evidence=(*(present or [decisive]), *things.facts),
    )


def _elsewhere(fact: Fact) -> Fact:
    """A finding of another structure of the same kind, such as the fracture of another vertebra: absent here."""
    return replace(fact, state="absent", value=None, reason="")


def keys_of(things: Things) -> frozenset[str]:
    """Return the keys of what an expression means, with their parts and the wholes that they belong to."""
    named = (*things.expression.keys, *(fact.key for fact in things.each))
    return frozenset(leaf for key in named for leaf in anatomy.leaves(key))


def _sides(things: Things) -> frozenset[str]:
    sides = {fact.side for fact in things.each}
    return frozenset({"left", "right"} if None in sides else {side for side in sides if side is not None})


def _normal(query: AskState, things: Things, scene: Scene) -> Outcome:
    """Normal is what no rule and no finding speaks against; at least one rule or finding must have been assessed."""
    own = keys_of(things)
    sure = [fact for key in _other_findings(own, scene) for fact in judgements(key, scene, own) if not fact.reason]
    against = list({fact.id: fact for fact in (*findings(scene, things), *sure) if fact.is_present}.values())
    ruled = [key for key in finding_rules() if own & subjects(key)]
    assessed = [fact for key in ruled for fact in judgements(key, scene, own) if fact.is_known]
    looked_for = [key for key in scene.facts.source.findings if own & subjects(key)]
    if not against and not assessed and not looked_for and not any(fact.is_known for fact in sure):
        reason = "Nothing that would make it abnormal was measured."
        return Outcome(query=query, state="not assessed", reason=reason, things=(things,))
    evidence = (*against, *things.facts) if against else (*assessed, *things.facts)
    unsure = [fact.name for key in ruled for fact in judgements(key, scene) if fact.state == "not assessed"]
    reason = f"Not assessed: {', '.join(dict.fromkeys(unsure))}." if unsure else ""
    return Outcome(query=query, value=not against, reason=reason, things=(things,), evidence=evidence)


def _other_findings(own: frozenset[str], scene: Scene) -> list[str]:
    """Findings of a structure that are known without being told reliably; those with a reason to doubt do not count."""
    source = scene.facts.source
    return [
        key
        for key, known in vocabulary.STRUCTURES.items()
        if known.is_finding and key not in source.findings and own & subjects(key) and source.knows(key)
    ]
