"""States of structures that rules prove: enlarged, dilated, fatty …, and normal."""

from __future__ import annotations

from typing import Final

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.queries import AskState, State
from medvlsam2.tasks.measure.rules.table import load_rules
from medvlsam2.tasks.questions.executing.lists import findings
from medvlsam2.tasks.questions.executing.measures import unknown
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.scene import Scene

RULES_OF_STATE: Final[dict[State, tuple[str, ...]]] = {
    "enlarged": ("megaly", "cardiothoracic", "enlarge"),
    "small": ("atrophy", "small", "asymmetry"),
    "dilated": ("dilatation", "aneurysm", "hydronephrosis"),
    "fatty": ("steatosis", "fat"),
    "calcified": ("calcification", "calcium"),
    "emphysematous": ("emphysema",),
    "fractured": ("height_loss", "fracture"),
    "porous": ("trabecular", "osteoporosis", "low_vertebral"),
}
"""Parts of the keys of the rules that prove each state."""


def state_of(query: AskState, scene: Scene) -> Outcome:
    """Whether a structure is in a state: what the rules about it say."""
    things = scene.things(query.target)
    if not things.is_present:
        return unknown(query, things)
    if query.state == "normal":
        return _normal(query, things, scene)
    judged = [scene.facts.rule(key) for key in rules_about(query.state, things)]
    if not judged:
        reason = f"No rule measures whether it is {query.state}."
        return Outcome(query=query, state="not assessed", reason=reason, things=(things,))
    decisive = next((fact for fact in judged if fact.is_present), None) or next(
        (fact for fact in judged if fact.is_known), None
    )
    if decisive is None:
        return Outcome(query=query, state="not assessed", reason=judged[0].reason, things=(things,))
    return Outcome(
        query=query,
        value=decisive.is_present,
        state=decisive.state,
        reason=decisive.reason,
        things=(things,),
        evidence=(decisive, *things.facts),
    )


def rules_about(state: State, things: Things) -> list[str]:
    """Return the keys of the rules that prove a state of a thing."""
    own = frozenset().union(*(anatomy.leaves(key) for key in things.expression.keys))
    words = RULES_OF_STATE.get(state, ())
    return [
        key
        for key, rule in load_rules().items()
        if any(word in key for word in words) and any(own & anatomy.leaves(each) for each in rule.of)
    ]


def _normal(query: AskState, things: Things, scene: Scene) -> Outcome:
    """Normal is what no rule and no finding speaks against; at least one rule or finding must have been assessed."""
    against = findings(scene, things)
    own = frozenset().union(*(anatomy.leaves(key) for key in things.expression.keys))
    ruled = [key for key, rule in load_rules().items() if any(own & anatomy.leaves(each) for each in rule.of)]
    assessed: list[Fact] = [fact for fact in (scene.facts.rule(key) for key in ruled) if fact.is_known]
    looked_for = [key for key in scene.facts.source.findings if key not in ruled]
    if not against and not assessed and not looked_for:
        reason = "Nothing that would make it abnormal was measured."
        return Outcome(query=query, state="not assessed", reason=reason, things=(things,))
    return Outcome(
        query=query,
        value=not against,
        things=(things,),
        evidence=(*against, *assessed, *things.facts) if not against else (*against, *things.facts),
    )
