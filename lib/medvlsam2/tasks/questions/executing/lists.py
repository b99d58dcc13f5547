"""Lists of what is seen: findings, or structures of a category, in the whole scan or in one structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grounded.topics import is_finding, weight
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.queries import AskList, AskScan, Category
from medvlsam2.tasks.measure.by_place import finding_in
from medvlsam2.tasks.measure.whereabouts import sites
from medvlsam2.tasks.questions.executing.measures import unknown
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.rule_subjects import finding_rules, subjects
from medvlsam2.tasks.questions.executing.scene import Scene

ORGANS: Final = frozenset(
    {
        *("spleen", "kidney_left", "kidney_right", "gallbladder", "liver", "stomach", "pancreas", "adrenal_gland_left"),
        *("adrenal_gland_right", "esophagus", "thyroid_gland", "small_bowel", "duodenum", "colon", "rectum"),
        *("appendix", "urinary_bladder", "prostate", "uterus", "ovary_left", "ovary_right", "heart", "lung_left"),
        *("lung_right", "trachea", "brain", "parotid_gland_left", "parotid_gland_right", "larynx"),
        *("submandibular_gland_left", "submandibular_gland_right", "eyeball_left", "eyeball_right"),
    }
)
_VESSEL: Final = re.compile("aorta|arter|vena|vein|trunk")
_MUSCLE: Final = re.compile("gluteus|iliopsoas|autochthon|muscle|diaphragm")
MOST_UNSURE: Final = 6
"""Findings that one answer lists as not assessed."""
IN_PLACE: Final = 0.5
"""A structure lies in another if at least this share of its voxels does."""


def listed(query: AskList, scene: Scene) -> Outcome:
    """What is seen of a category."""
    place = None
    if query.place is not None and query.place.key != "body":
        expression = ObjectExpression((Item(query.place.key, query.place.pick),))
        place = scene.things(expression)
        if not place.is_present:
            return unknown(query, place)
    if query.category == "findings":
        return _of_findings(query, scene, place)
    seen = _structures(query.category, scene, place)
    return Outcome(
        query=query,
        value=tuple(dict.fromkeys(fact.name for fact in seen)),
        state="present" if seen else "absent",
        things=() if place is None else (place,),
        evidence=tuple(seen),
    )


def impression(query: AskScan, scene: Scene) -> Outcome:
    """The findings that are present, the most important first, as in a report."""
    return _of_findings(query, scene, None)


def findings(scene: Scene, place: Things | None) -> list[Fact]:
    """Return the findings and rules that are present, the most important first; in a place, those that it holds."""
    present = [fact for fact in judged(scene, place) if fact.is_present]
    present = [fact for fact in present if place is None or is_in(fact, place, scene)]
    each_once = {fact.id: fact for fact in present}.values()
    return sorted(each_once, key=lambda fact: (-weight((fact,)), fact.kind != "rule", -(fact.longest_mm or 0.0)))


def judged(scene: Scene, place: Things | None) -> list[Fact]:
    """Return what is known of every finding and rule, also of those that are absent or not assessed."""
    keys = [key for key in scene.facts.source.findings if place is None or _may_lie_in(key, place)]
    ruled = [key for key in finding_rules() if place is None or subjects(key) & _own_keys(place)]
    scene.facts.look_for(keys)
    own = None if place is None else _own_keys(place)
    return [fact for key in dict.fromkeys([*ruled, *keys]) for fact in judgements(key, scene, own)]


def judgements(key: str, scene: Scene, places: frozenset[str] | None = None) -> tuple[Fact, ...]:
    """Return what is known of a rule, or of a finding; of what is both, what the rule says if it says anything.

    Args:
        key: of the rule or finding.
        scene: of the scan.
        places: structures in which alone it is asked for; None: anywhere.
    """
    if places is not None:
        return finding_in(key, places, scene.facts)
    known = vocabulary.STRUCTURES.get(key)
    return scene.facts.finding(key) if known is not None and known.is_finding else (scene.facts.rule(key),)


def of_category(key: str, category: Category) -> bool:
    """Return whether a structure belongs to a category.

    Example:
        >>> [of_category("aorta", one) for one in ("vessels", "organs", "structures")]
        [True, False, True]
    """
    if category == "organs":
        return key in ORGANS
    if category == "vertebrae":
        return key.startswith("vertebrae_")
    if category == "ribs":
        return key.startswith("rib_")
    if category == "bones":
        return key in anatomy.leaves("skeleton") or key in ("skull", "mandible", "sternum")
    if category == "vessels":
        return _VESSEL.search(key) is not None
    if category == "muscles":
        return _MUSCLE.search(key) is not None
    return category == "structures"


def _of_findings(query: AskList | AskScan, scene: Scene, place: Things | None) -> Outcome:
    seen = findings(scene, place)
    unsure = list(
        dict.fromkeys(fact.name for fact in judged(scene, place) if fact.state == "not assessed" and is_finding(fact))
    )
    shown = ", ".join(unsure[:MOST_UNSURE])
    shown += f" and {len(unsure) - MOST_UNSURE} more" if len(unsure) > MOST_UNSURE else ""
    return Outcome(
        query=query,
        value=tuple(dict.fromkeys(fact.name for fact in seen)),
        state="present" if seen else "absent",
        reason=f"Not assessed: {shown}." if unsure else "",
        things=() if place is None else (place,),
        evidence=tuple(seen),
    )


def _structures(category: Category, scene: Scene, place: Things | None) -> list[Fact]:
    keys = [key for key in scene.facts.source.structures if of_category(key, category) and _is_single(key)]
    seen = [fact for fact in scene.facts.structures(keys) if fact.is_present]
    return seen if place is None else [fact for fact in seen if is_in(fact, place, scene)]


def _is_single(key: str) -> bool:
    return key in anatomy.single_structures()


def _own_keys(place: Things) -> frozenset[str]:
    return frozenset().union(*(anatomy.leaves(key) for key in place.expression.keys))


def _may_lie_in(key: str, place: Things) -> bool:
    """Whether a finding may lie in a place: its sites overlap it, or are not known."""
    own, lies_in = _own_keys(place), sites(key)
    return not lies_in or any(own & anatomy.leaves(site) or site in own for site in lies_in)


def is_in(fact: Fact, place: Things, scene: Scene) -> bool:
    """Return whether a fact is about a place: by its host, by what its rule is about, or by its mask."""
    own = _own_keys(place)
    if fact.structure is not None and vocabulary.STRUCTURES[fact.structure].parts and fact.mask is not None:
        return _overlaps(fact, place, scene) or place.expression.keys[0] == fact.structure
    if fact.structure is not None:
        return bool(anatomy.leaves(fact.structure) & own) or bool(fact.kind == "rule" and subjects(fact.key) & own)
    if fact.kind == "rule":
        return True
    if fact.key in own:
        return fact.key not in place.expression.keys
    return fact.mask is not None and _overlaps(fact, place, scene)


def _overlaps(fact: Fact, place: Things, scene: Scene) -> bool:
    mask = scene.mask(fact)
    return any(scene.mask(one).overlap(mask) >= IN_PLACE * mask.voxels for one in _masked(place))


def _masked(place: Things) -> Iterator[Fact]:
    return (fact for fact in place.each if fact.mask is not None)
