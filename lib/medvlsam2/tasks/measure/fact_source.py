"""The door to the facts of one scan: ask for a structure, a finding, a rule, or everything.

All is measured when it is first asked for, and once. The masks come from a
:class:`~medvlsam2.tasks.measure.sources.mask_source.MaskSource`; of a model they are those that ``segment`` gives for a
name alone. :func:`medvlsam2.tasks.facts.facts_of` gives the facts of a scan as the current model sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import Bool

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.facts import Region
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidRequest
from medvlsam2.tasks.measure.believed import believed
from medvlsam2.tasks.measure.body_axis import ScanRange
from medvlsam2.tasks.measure.lesions import as_whole, lesions_of, of_parts, size_of
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import measure
from medvlsam2.tasks.measure.rivals import undisputed
from medvlsam2.tasks.measure.rules.parts import part_facts
from medvlsam2.tasks.measure.rules.table import judge, load_rules, load_table
from medvlsam2.tasks.measure.sources.mask_source import OUTSIDE, MaskSource, Seen
from medvlsam2.tasks.measure.sources.whole_masks import is_joined, is_told, joined
from medvlsam2.tasks.measure.whereabouts import out_of_view, sites, surely_shown


@dataclass
class Facts:
    """Facts of one scan. Threads may share it: at worst a thing is measured twice, with the same result.

    Whoever asks must not hold the device: a model's masks are found in leases of their own, one for each step, and
    ``Cancelled`` is raised at the next step of work that is no longer wanted.

    Args:
        source: of the masks.
    """

    source: MaskSource
    _seen: dict[str, Seen] = field(default_factory=dict, repr=False)
    _facts: dict[str, tuple[Fact, ...]] = field(default_factory=dict, repr=False)
    _rules: dict[str, Fact] = field(default_factory=dict, repr=False)
    _parts: dict[str, tuple[Fact, ...]] = field(default_factory=dict, repr=False)
    _lesions: dict[str, tuple[Fact, ...]] = field(default_factory=dict, repr=False)
    _masks: dict[str, KeptMask] = field(default_factory=dict, repr=False)

    @property
    def volume(self) -> CTVolume:
        """The scan."""
        return self.source.volume

    @property
    def rules(self) -> tuple[str, ...]:
        """Keys of all rules, in the order of their table."""
        return tuple(load_rules())

    def structure(self, key: str) -> Fact:
        """The fact of one structure; its id is its key."""
        return self.structures((key,))[0]

    def structures(self, keys: Sequence[str]) -> tuple[Fact, ...]:
        """The facts of some structures, looked for together.

        Raises:
            InvalidRequest: if a key is none of the vocabulary's, or a finding's.
            Cancelled: if the work is no longer wanted.
        """
        for key in keys:
            _require(key, is_finding=False)
        self.look_for(keys)
        return tuple(self._structure(key) for key in keys)

    def finding(self, key: str) -> tuple[Fact, ...]:
        """The facts of one kind of finding: one for each lesion, the largest first.

        If none is present there is one fact, with the key as its id, that says so. A finding with sides
        ("kidney_cyst") has the lesions of its left and right key. What a rule measures (splenomegaly, kidney stones) is
        what the rule says; where the rule cannot say anything, what the source marked is told. What is known of one
        side, or of another place, is told by :mod:`medvlsam2.tasks.measure.by_place`.

        Raises:
            InvalidRequest: if the key is none of the vocabulary's findings.
            Cancelled: if the work is no longer wanted.
        """
        _require(key, is_finding=True)
        if key in load_rules():
            judged = self.rule(key)
            found = [fact for fact in self.parts(key) if fact.is_present]
            if found:
                return tuple(sorted(found, key=size_of, reverse=True))
            if judged.is_known or not self.source.knows(key):
                return (judged,)
        self.look_for((key,))
        return self._finding(key)

    def rule(self, key: str) -> Fact:
        """What a rule of ``finding_rules.yaml`` says: present (passed), absent (not passed), or not assessed, and why.

        Raises:
            InvalidRequest: if there is no such rule.
            Cancelled: if the work is no longer wanted.
        """
        rule = load_rules().get(key)
        if rule is None:
            raise InvalidRequest(f"There is no rule '{key[:80]}'. Rules are {', '.join(load_rules())}.")
        if key not in self._rules:
            fact, measured = judge(rule, self)
            parts = () if measured is None else measured.parts
            each = [self._with_mask(*one) for part in parts for one in part_facts(fact, part)]
            self._parts[key] = tuple(each)
            self._rules[key] = self._with_mask(fact, None if measured is None else measured.mask)
        return self._rules[key]

    def parts(self, key: str) -> tuple[Fact, ...]:
        """What a rule says of each structure that it looks at: each stone in each kidney, or that a kidney has none.

        Nothing for rules that tell one thing of all that they need.

        Raises:
            InvalidRequest: if there is no such rule.
            Cancelled: if the work is no longer wanted.
        """
        self.rule(key)
        return self._parts[key]

    def everything(self) -> FactTable:
        """All that can be told reliably of the scan, for a report: structures, findings, rules.

        What the scan cannot show is left out. Of organs at its ends, such as the lungs in a scan of the abdomen, the
        findings that are present are told.
        """
        structures = [key for key in self.source.structures if self.may_show(key)]
        possible = [key for key in self.source.findings if key not in load_rules()]
        findings = [key for key in possible if not self.out_of_view(key)]
        at_ends = [key for key in possible if key not in findings and any(self.may_show(site) for site in sites(key))]
        self.look_for([*structures, *findings, *at_ends])
        facts = [self._structure(key) for key in structures]
        for key in (*findings, *at_ends):
            parts = vocabulary.STRUCTURES[key].parts
            for one in parts if self.is_joined(key) else (key,):
                facts += [fact for fact in self._finding(one) if key in findings or fact.is_present]
        for key in self.rules:
            facts += self._told_by(key)
        return FactTable(tuple(facts))

    def _told_by(self, key: str) -> tuple[Fact, ...]:
        """What a rule says: of what is counted, each one that is present, and each side that has another state."""
        whole = self.rule(key)
        if key not in vocabulary.STRUCTURES:
            return (whole,)
        found = tuple(fact for fact in self._parts[key] if fact.is_present)
        of_sides = tuple(fact for fact in self._parts[key] if not fact.is_present and fact.side is not None)
        differ = len({fact.state for fact in (*found, *of_sides)}) > 1
        return (*found, *(of_sides if differ else ())) or (whole,)

    def known(self) -> FactTable:
        """The facts that were measured so far."""
        measured = [fact for facts in list(self._facts.values()) for fact in facts]
        parts = [fact for facts in list(self._parts.values()) for fact in facts]
        return FactTable((*measured, *list(self._rules.values()), *parts))

    def region(self) -> Region | None:
        """The part of the body that the scan shows; None if nothing tells it."""
        return self.source.region()

    def scan_range(self) -> ScanRange | None:
        """The part of the body axis that the scan covers; None if nothing tells it."""
        return self.source.scan_range()

    def out_of_view(self, key: str, *, far: bool = False) -> str | None:
        """Why the scan may not show a structure or the site of a finding; None if it shows it, or nothing tells.

        Args:
            key: of the vocabulary.
            far: as for :func:`medvlsam2.tasks.measure.whereabouts.out_of_view`.
        """
        region = self.region()
        return None if region is None else out_of_view(key, region, self.scan_range(), far=far)

    def mask(self, fact: Fact | str) -> Bool[np.ndarray, "i j k"]:
        """The mask of a fact or of a mask's id, on the scan's grid; empty where the fact has none.

        Raises:
            InvalidRequest: if nothing with this id was measured.
        """
        kept = self.kept_mask(fact)
        return np.zeros(self.volume.shape_ijk, dtype=bool) if kept is None else kept.whole()

    def kept_mask(self, fact: Fact | str) -> KeptMask | None:
        """The same mask as it is kept, in its box; None where it is empty."""
        if isinstance(fact, Fact):
            return None if fact.mask is None else self._masks[fact.mask]
        if fact not in self._masks and fact not in self._seen:
            raise InvalidRequest(f"No mask '{fact[:80]}' was measured in this scan. Ask for its structure first.")
        return self._masks.get(fact)

    def tells(self, key: str) -> bool:
        """Whether the source tells a structure or finding reliably; rules measure nothing else."""
        return is_told(key, self.source)

    def may_show(self, key: str) -> bool:
        """Whether a report may tell of a structure: its region is shown, or something of it at an end of the scan."""
        if not self.out_of_view(key):
            return True
        return not self.out_of_view(key, far=True) and self.source.glimpses(key)

    def is_joined(self, key: str) -> bool:
        """Whether a whole is measured as the union of its parts, and has no mask of its own name."""
        return is_joined(key, self.source)

    def look_for(self, keys: Iterable[str]) -> None:
        """Find the masks of structures and findings together, so that what follows needs no search of its own."""
        wanted: dict[str, None] = {}
        for key in keys:
            self._add_wanted(key, wanted)
        if wanted:
            self._seen.update(self.source.see(list(wanted)))

    def _add_wanted(self, key: str, wanted: dict[str, None]) -> None:
        if key in self._seen:
            return
        if self.is_joined(key):
            for part in vocabulary.STRUCTURES[key].parts:
                self._add_wanted(part, wanted)
        elif self.source.knows(key):
            wanted[key] = None
        else:
            self._seen[key] = Seen("not assessed", reason=self.source.why_unknown(key))

    def _structure(self, key: str) -> Fact:
        if key not in self._facts:
            self._facts[key] = (self._placed(self._fact_of(key, self._seen_of(key))),)
        return self._facts[key][0]

    def _placed(self, fact: Fact) -> Fact:
        """What the place of the scan on the body tells of a structure without a reliable mask."""
        if fact.state != "not assessed":
            return fact
        scan_range = self.scan_range()
        if surely_shown(fact.key, scan_range, self.volume):
            assert scan_range is not None
            place = f"By its place it lies in the scan, which covers about {scan_range.levels()}."
            return replace(fact, in_view=True, reason=f"{fact.reason} {place}".strip())
        is_marked = self._seen[fact.key].mask is not None
        reason = None if is_marked else self.out_of_view(fact.key, far=True)
        return replace(fact, state=OUTSIDE, reason=reason) if reason else fact

    def _fact_of(self, key: str, seen: Seen) -> Fact:
        known = vocabulary.STRUCTURES[key]
        fact = Fact(
            id=key,
            key=key,
            kind="finding" if known.is_finding else "structure",
            name=known.name,
            code=known.snomed,
            state=seen.state,
            reason=seen.reason,
            structure=known.site,
            side=known.side,
            confidence=seen.confidence,
        )
        return self._measured(fact, seen.mask)

    def _measured(self, fact: Fact, mask: KeptMask | None) -> Fact:
        if mask is None:
            return fact
        self._masks[fact.id] = mask
        fields = {**vars(fact), **measure(mask, self.volume).fields(), "mask": fact.id}
        if fields["cut"] and fact.kind == "structure" and not fact.reason:
            fields["reason"] = f"The scan ends within the {fact.name}, so its volume and lengths are not whole."
        return Fact(**fields)

    def _finding(self, key: str) -> tuple[Fact, ...]:
        if key not in self._facts:
            self._facts[key] = self._found(key)
        return self._facts[key]

    def _found(self, key: str) -> tuple[Fact, ...]:
        if self.is_joined(key):
            parts = [fact for part in vocabulary.STRUCTURES[key].parts for fact in self._finding(part)]
            present = sorted((fact for fact in parts if fact.is_present), key=lambda fact: -(fact.volume_ml or 0.0))
            return tuple(present) or (of_parts(self._fact_of(key, self._seen_of(key)), parts),)
        lesions = undisputed(key, self.lesions(key), self)
        told = tuple(fact for fact in lesions if fact.is_present) or tuple(as_whole(lesions[:1], key))
        return told or (self._fact_of(key, self._seen_of(key)),)

    def lesions(self, key: str) -> tuple[Fact, ...]:
        """What the source marks of a finding that is no whole, each lesion by itself, before others are looked at.

        What measures something else is "not assessed".

        Raises:
            Cancelled: if the work is no longer wanted.
        """
        if key not in self._lesions:
            self.look_for((key,))
            seen = self._seen_of(key)
            whole = self._fact_of(key, seen)
            proof = load_table().proofs.get(key.removesuffix(f"_{whole.side}"))
            phase = self.rule("phase").label if proof is not None and proof.phases and whole.is_present else ""
            found = [self._measured(fact, mask) for fact, mask in lesions_of(whole, seen, self)]
            self._lesions[key] = tuple(fact if proof is None else proof.apply(fact, phase) for fact in found)
        return self._lesions[key]

    def _seen_of(self, key: str) -> Seen:
        """What was seen of a name; of a whole, what was seen of its parts together."""
        if key not in self._seen:
            self._seen[key] = joined(key, {part: self._seen_of(part) for part in vocabulary.STRUCTURES[key].parts})
        return believed(key, self._seen[key], self)

    def mark_of(self, key: str) -> KeptMask | None:
        """The mask of a structure, however sure it is."""
        self.look_for((key,))
        return self._seen_of(key).mask if self.is_joined(key) else self._seen[key].mask

    def _with_mask(self, fact: Fact, own: KeptMask | None) -> Fact:
        """The fact of a rule with what its mask measures: a mask of its own, such as a stone's, or its structure's."""
        if own is not None:
            return self._measured(fact, own)
        base = self._facts.get(fact.structure or "", ())
        if fact.state != "present" or not base or base[0].mask is None:
            return fact
        return replace(base[0], **{name: getattr(fact, name) for name in _OF_RULES})


_OF_RULES: Final = (
    *("id", "key", "kind", "name", "code", "state", "reason", "structure", "side", "confidence"),
    *("value", "is_at_least", "unit", "threshold", "label", "source", "evidence"),
)
"""Fields of a rule's fact that are its own; all others are those of the structure that it measured."""


def _require(key: str, *, is_finding: bool) -> None:
    known = vocabulary.STRUCTURES.get(key)
    if known is None:
        raise InvalidRequest(f"'{key[:80]}' is no key of the vocabulary. Look the name up first (vocabulary.find).")
    if known.is_finding != is_finding:
        door = "finding" if known.is_finding else "structure"
        raise InvalidRequest(f"'{key}' is a {door}. Ask for it with Facts.{door}.")


def _name(key: str) -> str:
    return vocabulary.STRUCTURES[key].name
