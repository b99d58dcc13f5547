"""What a rule needs before it says anything: anatomy that is seen, sure and whole; a contrast phase; thin slices."""

from __future__ import annotations

from collections.abc import Sequence

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.measure.rules.rule import Known, NotAssessed, OutOfView, Rule
from medvlsam2.tasks.measure.sources.mask_source import OUTSIDE
from medvlsam2.tasks.measure.whereabouts import sites


def need(key: str, rule: Rule, facts: Known, *, whole: bool | None = None) -> Fact:
    """The fact of a structure that is present, sure, and not cut where the rule wants it whole.

    Args:
        key: of the structure.
        rule: the rule that measures it.
        facts: of the scan.
        whole: whether it must lie in the scan as a whole; None: as the rule says.

    Raises:
        OutOfView: if the part of the body that the scan shows does not hold it as a whole, and it is not seen.
        NotAssessed: if it is not seen, or not so.
    """
    if not facts.tells(key):
        elsewhere(key, facts)
        raise NotAssessed(f"The {vocabulary.STRUCTURES[key].name} is not among what is told reliably in this scan.")
    fact = facts.structure(key)
    if fact.state == OUTSIDE:
        raise OutOfView(fact.reason)
    if fact.state != "present" or fact.mask is None:
        elsewhere(key, facts)
        raise NotAssessed(fact.reason or f"The {fact.name} is not seen.")
    if fact.confidence is not None and fact.confidence < rule.min_confidence:
        raise NotAssessed(f"The mask of the {fact.name} is not sure enough to be measured.")
    if fact.cut and (rule.whole if whole is None else whole):
        elsewhere(key, facts)
        raise NotAssessed(f"The scan does not show the whole {fact.name}.")
    return fact


def elsewhere(key: str, facts: Known) -> None:
    """Go on only if the part of the body that the scan shows holds a structure or the site of a finding as a whole.

    Raises:
        OutOfView: if it does not.
    """
    reason = facts.out_of_view(key)
    if reason is not None:
        raise OutOfView(reason)


def worse(first: NotAssessed | None, second: NotAssessed) -> NotAssessed:
    """Of the refusals of two structures of which one is enough, the one to tell: what lies in view comes first."""
    if first is None or (isinstance(first, OutOfView) and not isinstance(second, OutOfView)):
        return second
    return first


def need_in_view(rule: Rule, facts: Known) -> None:
    """Go on only if the scan may show something of what a rule measures.

    Raises:
        OutOfView: if all of that belongs to other parts of the body, and nothing of it is seen at the scan's ends.
    """
    outside: OutOfView | None = None
    for key in rule.of:
        try:
            elsewhere(key, facts)
        except OutOfView as reason:
            outside = outside or reason
            if not _is_seen(key, facts):
                continue
        return
    if outside is not None:
        raise outside


def _is_seen(key: str, facts: Known) -> bool:
    """Whether a structure, or a structure in which a finding lies, is present."""
    places = sites(key) if vocabulary.STRUCTURES[key].is_finding else (key,)
    return any(facts.tells(place) and facts.structure(place).is_present for place in places)


def seen_of(keys: Sequence[str], facts: Known) -> list[Fact]:
    """The facts of those structures that are told reliably and present; the others are not looked for."""
    told = (facts.structure(key) for key in keys if facts.tells(key))
    return [fact for fact in told if fact.is_present]


def need_mask(fact: Fact, facts: Known) -> KeptMask:
    """The mask of a fact that is present."""
    kept = facts.kept_mask(fact)
    assert kept is not None, f"{fact.id} is present without a mask"
    return kept


def need_phase(rule: Rule, facts: Known) -> None:
    """Go on only in a contrast phase in which the rule holds.

    Raises:
        NotAssessed: in other phases, and where the phase is not known.
    """
    if not rule.phases:
        return
    phase = facts.rule("phase")
    if phase.state != "present":
        raise NotAssessed(
            f"This is measured in {_any_of(rule.phases)} scans only, and the contrast phase of this scan is not known."
        )
    if phase.label not in rule.phases:
        raise NotAssessed(f"This is measured in {_any_of(rule.phases)} scans only; this scan is {phase.label}.")


def need_thin_slices(rule: Rule, facts: Known) -> None:
    """Go on only with slices that are near enough to each other.

    Raises:
        NotAssessed: if they are not.
    """
    axis = slice_axis(facts.volume.affine)
    apart_mm = facts.volume.spacing_mm[axis]
    if rule.max_slice_mm is not None and apart_mm > rule.max_slice_mm + 0.01:
        raise NotAssessed(
            f"The slices are {apart_mm:.1f} mm apart; for this they may be at most {rule.max_slice_mm:.1f} mm apart."
        )


def _any_of(phases: tuple[str, ...]) -> str:
    return " or ".join(phases)
