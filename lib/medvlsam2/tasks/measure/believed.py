"""What is believed of what a source saw: nothing that the scan cannot show, nothing that is rather wrong than right."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import ScanRange
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import is_cut
from medvlsam2.tasks.measure.sources.mask_source import OUTSIDE, Seen
from medvlsam2.tasks.measure.whereabouts import (
    MAY_LIE_BEYOND,
    hosts_of,
    landmarks,
    misplaced,
    out_of_view,
    surely_shown,
)

SURE: Final = 0.5
"""What is right less often than this is not stated: its state becomes "not assessed"."""


@runtime_checkable
class Asked(Protocol):
    """What is asked of the facts of a scan (:class:`medvlsam2.tasks.measure.fact_source.Facts`)."""

    @property
    def volume(self) -> CTVolume:
        """The scan."""

    def region(self) -> Region | None:
        """Part of the body."""

    def scan_range(self) -> ScanRange | None:
        """The part of the body axis that the scan covers."""

    def tells(self, key: str) -> bool:
        """Whether a name is told reliably."""

    def mark_of(self, key: str) -> KeptMask | None:
        """The mask of a structure, however sure it is."""

    def out_of_view(self, key: str) -> str | None:
        """Why the scan may not show a structure or the site of a finding."""


def believed(key: str, seen: Seen, facts: Asked) -> Seen:
    """What is believed of a name.

    Args:
        key: of the vocabulary.
        seen: as the source tells it.
        facts: of the scan.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    reason = None if seen.mask is None else misplaced(key, seen.confidence, facts.scan_range)
    if reason is not None:
        return Seen("not assessed", reason=reason)
    if seen.state == "absent":
        is_finding = vocabulary.STRUCTURES[key].is_finding
        seen = _absent_finding(key, seen, facts) if is_finding else _absent_structure(key, seen, facts)
    if seen.state in ("present", "absent") and seen.confidence is not None and seen.confidence < SURE:
        said = "there" if seen.state == "present" else "absent"
        right = f"of such answers only {seen.confidence:.0%} were right"
        reason = f"The model is not sure that the {_name(key)} is {said}: {right}."
        return Seen("not assessed", seen.mask, seen.confidence, reason, seen.pieces)
    return seen


def _absent_structure(key: str, seen: Seen, facts: Asked) -> Seen:
    """What is known of a structure without a mask: it may lie where the scan does not reach."""
    region = facts.region()
    if region is None:
        return seen
    if surely_shown(key, facts.scan_range(), facts.volume):
        return Seen("not assessed", reason=f"Nothing is marked as the {_name(key)}.")
    reason = out_of_view(key, region, facts.scan_range(), volume=facts.volume)
    if reason is not None:
        return Seen(OUTSIDE, reason=reason)
    ends = [mark for mark in landmarks(key) if mark != key and facts.tells(mark)]
    cut = next((mark for mark in ends if (kept := facts.mark_of(mark)) is None or is_cut(kept, facts.volume)), None)
    if cut is None:
        scan_range = facts.scan_range()
        is_near = scan_range is not None and scan_range.place_of(key) in ("near", "cut")
        return Seen(OUTSIDE, reason=MAY_LIE_BEYOND.format(name=_name(key))) if is_near else seen
    reason = f"The scan does not show the whole {_name(cut)}, so the {_name(key)} may lie beyond its ends."
    return Seen(OUTSIDE, reason=reason)


def _absent_finding(key: str, seen: Seen, facts: Asked) -> Seen:
    """What is known of a finding without a mask: it is absent only in an organ that is seen, as far as it is.

    Of a pair both must be seen. That the scan cuts the organ is told by the organ's own fact.
    """
    hosts = hosts_of(key)
    missing = next((host for host in hosts if not facts.tells(host) or not facts.mark_of(host)), None)
    if missing is None and hosts:
        return seen
    reason = facts.out_of_view(key)
    if reason is not None:
        return Seen(OUTSIDE, reason=reason)
    if missing is None or not (facts.tells(missing) or vocabulary.STRUCTURES[missing].side):
        return seen  # what may lie anywhere, and what has one organ, which the source does not tell
    return Seen("not assessed", reason=f"The {_name(missing)} is not seen.")


def _name(key: str) -> str:
    return vocabulary.STRUCTURES[key].name
