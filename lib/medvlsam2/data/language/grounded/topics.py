"""Topics of a report: groups of facts that one sentence tells, in the order in which a reader expects them.

Each fact of a report stands in one topic. A group holds facts of one state alone, so that what is said of the group is
true of each: "The liver and spleen are normal in size". The model chooses among the wordings of the topics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Literal, TypeVar

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import join
from medvlsam2.data.language.grounded import slots
from medvlsam2.data.language.grounded.patterns import all_filled
from medvlsam2.data.language.grounded.prior import Prior, changes
from medvlsam2.data.language.grounded.rule_words import rule_words
from medvlsam2.data.language.grounded.stated import Stated, stated

_T = TypeVar("_T")
Section = Literal["technique", "findings", "impression"]

ORGANS: Final = (
    *("brain", "parotid_gland", "larynx", "thyroid_gland", "lung", "heart"),
    *("liver", "gallbladder", "spleen", "pancreas", "adrenal_gland", "kidney", "stomach"),
    *("urinary_bladder", "prostate", "uterus"),
)
"""Organs that a report tells, from head to foot, as keys without side. Other structures stand in the facts alone."""
_SYSTEMS: Final = (
    ("brain", "parotid_gland", "larynx", "thyroid_gland"),
    ("lung", "trachea", "esophagus", "heart"),
    ("aorta", "coronary_arteries", "inferior_vena_cava"),
    ("liver", "gallbladder", "spleen", "pancreas", "adrenal_gland", "kidney", "stomach", "colon", "body"),
    ("urinary_bladder", "prostate", "uterus"),
    ("brainstem", "spinal_cord", "vertebrae"),
)
"""Organ systems from head to foot, in families of structures: one sentence tells structures of one system."""
_FIRST_OF_ABDOMEN: Final = 3
"""Denials are told in two groups: above the diaphragm with all vessels, and below."""
_NEVER_MISSED: Final = frozenset({"prostate", "uterus", "urinary_bladder", "stomach", "larynx"})
"""Organs that no report calls absent: half of the patients have no uterus, and a hollow organ may be empty."""
PER_GROUP: Final = 4
"""Most structures or findings in one sentence; longer lists are hard to read."""
_ORDER: Final = tuple(family for system in _SYSTEMS for family in system)
_REGIONS: Final = {name: region for region, name in anatomy.REGION_NAMES.items()}
_RANKS: Final = ("finding", "normal", "denied", "seen", "absent", "partly shown", "compared", "not assessed")
"""Order of the topics in a narrative report: what matters comes first."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Facts that one sentence tells."""

    facts: tuple[str, ...]
    """Ids of the facts."""
    pattern: str
    """Kind of the patterns that may tell them."""
    variants: tuple[Mapping[str, str], ...]
    """Texts of the slots; several where a finding has several nouns."""
    line: str
    """The facts in a few words, for the model's prompt."""
    section: Section = "findings"
    rank: tuple[int, int] = (0, 0)
    """The group of topics, then the place from head to foot; in a structured report the place, then the group."""
    must: bool = True
    """Whether a report has to tell them."""
    is_last: bool = False
    """Whether nothing of its section may follow."""

    def sentences(self, style: ReportStyle) -> list[str]:
        """Return every sentence that tells these facts in a style."""
        return all_filled(self.pattern, style, self.variants)


def topics(table: FactTable, style: ReportStyle, prior: Prior | None = None) -> tuple[Topic, ...]:
    """Return the topics of a report in their usual order.

    Args:
        table: facts of the scan.
        style: of the report; in a structured report each structure is a topic of its own.
        prior: facts of an earlier scan, with which this one is compared.
    """
    per_group = 1 if style == "structured" else PER_GROUP
    groups = found_groups(table)
    findings = [*_findings(groups), *_normals(table, per_group), *_denials(table, per_group)]
    findings += _structures(table, per_group)
    # Sorting is stable, so findings keep the order of their importance.
    if style == "structured":
        findings = [replace(topic, rank=(topic.rank[1], topic.rank[0])) for topic in findings]
    else:
        findings = [replace(topic, rank=(topic.rank[0], 0)) if topic.rank[0] == 0 else topic for topic in findings]
    ordered = sorted(findings, key=lambda topic: topic.rank)
    compared = () if prior is None else _compared(table, prior)
    return (*_technique(table), *ordered, *compared, *_not_assessed(table), *_impression(table, groups))


def found_groups(table: FactTable) -> list[tuple[Fact, ...]]:
    """Return the findings that are present, in groups of one kind in one structure, the most important group first."""
    grouped: dict[Stated, list[Fact]] = {}
    for fact in table:
        if fact.is_present and is_finding(fact):
            grouped.setdefault(stated(fact), []).append(fact)
    ordered = [tuple(sorted(group, key=lambda fact: -_size(fact))) for group in grouped.values()]
    return sorted(ordered, key=lambda group: (-weight(group), _place(group[0].structure), group[0].id))


def is_finding(fact: Fact) -> bool:
    """Return whether a fact says that a finding is present or absent: rules that only tell a word do not."""
    return fact.kind == "finding" or (fact.kind == "rule" and rule_words(fact).is_finding)


def _size(fact: Fact) -> float:
    return fact.longest_mm or fact.volume_ml or 0.0


def weight(group: Sequence[Fact]) -> int:
    """Return how much a finding matters: tumours and bleedings more than fluid, fluid more than cysts and stones."""
    kind = stated(group[0]).kind
    return next((weight for weight, kinds in _WEIGHTS.items() if kind in kinds), 1)


_WEIGHTS: Final[Mapping[int, frozenset[str]]] = {
    4: frozenset({"dissection", "pneumothorax", "hemorrhage", "hematoma", "pulmonary embolism", "free air"}),
    3: frozenset({"metastasis", "mass", "tumor", "sarcoma", "aneurysm", "nodule", "fracture", "abscess"}),
    2: frozenset({"effusion", "consolidation", "hydronephrosis", "ascites", "enlargement", "dilatation"}),
}


def _technique(table: FactTable) -> list[Topic]:
    region, phase = table.get("region"), table.get("phase")
    if region is None or not region.is_present or not region.label:
        return []
    told = [region.id]
    texts = {"region": region.label}
    pattern = "technique"
    if phase is not None and phase.is_present and phase.label:
        told.append(phase.id)
        pattern = "technique without contrast" if phase.label == "non-contrast" else "technique with contrast"
        texts["phase"] = phase.label
    line = ", ".join(texts.values())
    return [Topic(facts=tuple(told), pattern=pattern, variants=(texts,), line=line, section="technique")]


def _findings(groups: Iterable[tuple[Fact, ...]]) -> list[Topic]:
    made = []
    for group in groups:
        pattern, variants, line = slots.of_finding(group)
        made.append(_topic(pattern, group, variants, line))
    return made


def _impression(table: FactTable, groups: Sequence[tuple[Fact, ...]]) -> list[Topic]:
    """Return the topics of the impression, which may only repeat findings."""
    if not groups:
        denied = tuple(fact.id for fact in table if fact.state == "absent" and is_finding(fact))
        pattern = "impression without finding" if denied else "impression without assessment"
        return [Topic(facts=denied, pattern=pattern, variants=({},), line="", section="impression")]
    made = []
    for group in groups:
        _, variants, _ = slots.of_finding(group)
        pattern = "impression of several findings" if "counted" in variants[0] else "impression of a finding"
        made.append(Topic(facts=_ids(group), pattern=pattern, variants=tuple(variants), line="", section="impression"))
    return made


def _normals(table: FactTable, per_group: int) -> list[Topic]:
    """Return what a rule measured and found within normal limits."""
    by_respect: dict[str, list[Fact]] = {}
    for fact in table:
        if fact.kind == "rule" and fact.state == "absent" and (respect := rule_words(fact).respect):
            by_respect.setdefault(respect, []).append(fact)
    made = []
    for respect, facts in by_respect.items():
        for part in _by_system(facts, lambda fact: stated(fact).structure, per_group):
            texts = slots.of_normal(part, respect)
            line = f"normal {respect}: {texts['names']}"
            made.append(_topic("normal", part, [texts], line))
    return made


def _denials(table: FactTable, per_group: int) -> list[Topic]:
    """Return the findings that were looked for and are absent; those that a rule calls normal are told there."""
    absent = {fact.key: fact for fact in table if fact.state == "absent" and is_finding(fact)}
    named: dict[str, list[Fact]] = {}
    for fact in absent.values():
        words = rule_words(fact)
        if words.is_denied and not words.respect:
            named.setdefault(slots.denied_name(fact, absent), []).append(fact)
    made = []
    of_zone: dict[bool, list[str]] = {True: [], False: []}
    for name in sorted(named):
        of_zone[_system(_host(named[name][0])) < _FIRST_OF_ABDOMEN].append(name)
    for part in (part for names in of_zone.values() for part in _denied_parts(names, named, max(per_group, 2))):
        told = [fact for name in part for fact in named[name]]
        texts = {"listed_or": join(part, "or")}
        made.append(_topic("denied", told, [texts], f"no {texts['listed_or']}"))
    return made


def _denied_parts(names: Sequence[str], named: Mapping[str, Sequence[Fact]], size: int) -> list[Sequence[str]]:
    return _parts(sorted(names, key=lambda name: _place(_host(named[name][0]))), size)


def _host(fact: Fact) -> str | None:
    """The structure in which a finding would lie."""
    known = vocabulary.STRUCTURES.get(fact.key)
    return stated(fact).structure or fact.structure or (None if known is None else known.site)


def _structures(table: FactTable, per_group: int) -> list[Topic]:
    """Return what is said of organs about which nothing else is said: seen, partly shown, absent."""
    told = {
        structure
        for fact in table
        if is_finding(fact) and fact.is_known and (fact.is_present or rule_words(fact).respect)
        if (structure := stated(fact).structure) is not None
    }
    shown = _region(table)
    of_state: dict[str, list[Fact]] = {"seen": [], "partly shown": [], "absent": []}
    for fact in table:
        if fact.kind != "structure" or anatomy.is_pair(fact.key) or anatomy.base(fact.key) not in ORGANS:
            continue
        if (state := _state(fact, shown)) is not None and not (state == "seen" and fact.key in told):
            of_state[state].append(fact)
    made = []
    for state, facts in of_state.items():
        for part in _by_system(sorted(facts, key=lambda fact: fact.key), lambda fact: fact.key, per_group):
            texts = slots.of_structures(part)
            line = f"{state}: {texts['brief' if state == 'seen' else 'names']}"
            made.append(_topic(state, part, [texts], line))
    return made


def _state(fact: Fact, region: Region | None) -> str | None:
    """What is said of an organ; nothing of one that every scan of this region cuts, such as the lungs in an abdomen."""
    if fact.state == "absent":
        return None if anatomy.base(fact.key) in _NEVER_MISSED else "absent"
    if fact.state != "present":
        return None
    if not fact.cut:
        return "seen"
    return "partly shown" if region is None or anatomy.is_covered(fact.key, region) else None


def _compared(table: FactTable, prior: Prior) -> list[Topic]:
    """Return what both scans measured; every sentence gives the date of the earlier scan."""
    made = []
    for change in changes(table, prior):
        texts = {"subject": change.subject, "then": change.then, "now": change.now, "then_date": prior.date}
        line = f"{change.subject.removeprefix('the ')} {change.then} on {prior.date}, now {change.now}"
        made.append(_topic("compared", [change.fact], [texts], line))
    return made


def _not_assessed(table: FactTable) -> list[Topic]:
    region = _region(table)
    facts = [fact for fact in table if fact.state == "not assessed" and _is_expected(fact, region)]
    names = slots.plain_names(facts)
    if not names:
        return []
    texts = {"listed": join(names), "was": "were" if len(names) > 1 else "was"}
    line = f"not assessed: {len(names)}"
    return [_topic("not assessed", facts, [texts], line)]


def _is_expected(fact: Fact, region: Region | None) -> bool:
    """Whether a reader expects to be told of a thing: of an organ, or of a finding that reports deny where absent.

    Nobody expects to be told of the aorta's width in a scan of the head and neck or of the pelvis.
    """
    if fact.kind == "structure":
        return anatomy.base(fact.key) in ORGANS
    words = rule_words(fact)
    is_elsewhere = bool(words.neighbour) and region is not None and not anatomy.is_covered(words.neighbour, region)
    return is_finding(fact) and words.is_denied and not is_elsewhere


def _region(table: FactTable) -> Region | None:
    """The part of the body that the scan shows; None if it is not known."""
    region = table.get("region")
    return None if region is None else _REGIONS.get(region.label)


def _topic(pattern: str, facts: Sequence[Fact], variants: Sequence[Mapping[str, str]], line: str) -> Topic:
    """Return a topic of the findings section; its place from head to foot is that of its first fact."""
    name = next((name for name in _RANKS if name == pattern), "finding")
    place = _place(stated(facts[0]).structure if facts[0].kind != "structure" else facts[0].key)
    if name == "denied":
        place = len(_ORDER) + (_system(_host(facts[0])) >= _FIRST_OF_ABDOMEN)
    elif name in ("compared", "not assessed"):
        place = len(_ORDER) + 2
    rank = (_RANKS.index(name), place)
    return Topic(
        facts=_ids(facts),
        pattern=pattern,
        variants=tuple(variants),
        line=line,
        rank=rank,
        must=pattern != "seen",
        is_last=pattern == "not assessed",
    )


def _ids(facts: Iterable[Fact]) -> tuple[str, ...]:
    return tuple(fact.id for fact in facts)


def _parts(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Return the items in groups of nearly the same size, none larger than ``size``."""
    if not items:
        return []
    count = -(-len(items) // size)
    each = -(-len(items) // count)
    return [items[start : start + each] for start in range(0, len(items), each)]


def _by_system(items: Sequence[_T], key_of: Callable[[_T], str | None], size: int) -> list[Sequence[_T]]:
    """Return the items from head to foot, in groups of one organ system; both sides of a pair stay together.

    Args:
        items: to group.
        key_of: vocabulary key of the structure of an item.
        size: most structures of a group, a pair counted as one; with 1 each side has a group of its own.
    """
    ordered = sorted(items, key=lambda item: (_place(key_of(item)), _family(key_of(item))))
    groups: list[Sequence[_T]] = []
    for _, own in groupby(ordered, key=lambda item: _system(key_of(item))):
        of_system = list(own)
        if size == 1:
            groups += _parts(of_system, size)
            continue
        pairs = [list(pair) for _, pair in groupby(of_system, key=lambda item: _family(key_of(item)))]
        groups += [[item for pair in part for item in pair] for part in _parts(pairs, size)]
    return groups


def _family(key: str | None) -> str:
    return "" if key is None else lesions.host_family(key)


def _system(key: str | None) -> int:
    return next((number for number, own in enumerate(_SYSTEMS) if _family(key) in own), len(_SYSTEMS))


def _place(key: str | None) -> int:
    family = _family(key)
    return _ORDER.index(family) if family in _ORDER else len(_ORDER)
