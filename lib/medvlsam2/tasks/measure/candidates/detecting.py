"""Masks of a source together with the lesions that brightness and shape prove in its organs.

Whoever asks for a lung nodule gets what the source marks and what a search in the lungs finds, one mask for each. What
both mark of one lesion is the source's mask. A search looks only into organs whose masks are sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import FactState
from medvlsam2.data.facts import Region
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import ScanRange
from medvlsam2.tasks.measure.candidates.detection import Detection, Refused
from medvlsam2.tasks.measure.candidates.table import FINDERS, load_detections
from medvlsam2.tasks.measure.lesions import is_countable
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import is_cut, pieces_of
from medvlsam2.tasks.measure.sources.mask_source import OUTSIDE, MaskSource, Seen
from medvlsam2.tasks.measure.sources.whole_masks import is_joined, is_told, joined
from medvlsam2.tasks.measure.whereabouts import out_of_view

BY_SEARCH: Final = "It was found by its density and shape, not by the model."
"""Said of each lesion that the model did not mark."""
PARTLY_BY_SEARCH: Final = "A part of what is marked was found by its density and shape, not by the model."
"""Said where the model marked some of the lesions."""


@dataclass
class Detecting:
    """A source that also knows the findings of the table of detections.

    Args:
        inner: tells organs, and may mark findings itself.
    """

    inner: MaskSource
    _organs: dict[str, Seen] = field(default_factory=dict, repr=False)

    @property
    def volume(self) -> CTVolume:
        """The scan."""
        return self.inner.volume

    @property
    def structures(self) -> Sequence[str]:
        """Structures that the inner source tells reliably."""
        return self.inner.structures

    @property
    def findings(self) -> Sequence[str]:
        """Findings that the inner source tells reliably, and those that are searched for."""
        return list(dict.fromkeys((*self.inner.findings, *load_detections())))

    def knows(self, key: str) -> bool:
        """Whether the inner source knows a name, or it is searched for."""
        return self.inner.knows(key) or detection_of(key) is not None

    def why_unknown(self, key: str) -> str:
        """What the inner source says."""
        return self.inner.why_unknown(key)

    def glimpses(self, key: str) -> bool:
        """What the inner source sees of a structure."""
        return self.inner.glimpses(key)

    def region(self) -> Region | None:
        """The part of the body."""
        return self.inner.region()

    def scan_range(self) -> ScanRange | None:
        """The part of the body axis that the scan covers."""
        return self.inner.scan_range()

    def see(self, keys: Sequence[str]) -> Mapping[str, Seen]:
        """Look for some names; organs that the searches need are looked for in the same go.

        Raises:
            Cancelled: if the work is no longer wanted.
        """
        wanted = [key for key in keys if self.inner.knows(key)]
        needed = [organ for key in keys if (known := detection_of(key)) for organ in _hosts(known, key)]
        self._look_for([*wanted, *needed])
        seen = {key: self._organs[key] for key in wanted}
        for key in keys:
            detection = detection_of(key)
            if detection is not None:
                seen[key] = self._with_search(key, detection, seen.get(key))
        return seen

    def need(self, key: str, *, min_confidence: float) -> KeptMask:
        """The mask of an organ that is present and sure."""
        name = vocabulary.STRUCTURES[key].name
        seen = self._organ(key) if is_told(key, self.inner) else None
        if seen is None or seen.state != "present" or seen.mask is None:
            raise Refused(f"The {name} is not seen.")
        if seen.confidence is not None and seen.confidence < min_confidence:
            raise Refused(f"The mask of the {name} is not sure enough to search in it.")
        return seen.mask

    def seen(self, keys: Sequence[str]) -> list[KeptMask]:
        """The masks of those organs that are told reliably and present."""
        told = [key for key in keys if is_told(key, self.inner)]
        self._look_for(told)
        return [mask for key in told if (mask := self._organ(key).mask) is not None]

    def _look_for(self, keys: Sequence[str]) -> None:
        missing = [key for key in dict.fromkeys(self._leaves(keys)) if key not in self._organs]
        if missing:
            self._organs.update(self.inner.see(missing))

    def _leaves(self, keys: Sequence[str]) -> list[str]:
        """The names by which the inner source tells some names: a whole that is joined has its parts' masks."""
        leaves = []
        for key in keys:
            if not is_joined(key, self.inner):
                leaves += [key] if self.inner.knows(key) else []
            else:
                leaves += self._leaves(vocabulary.STRUCTURES[key].parts)
        return leaves

    def _organ(self, key: str) -> Seen:
        self._look_for((key,))
        if not is_joined(key, self.inner):
            return self._organs[key]
        return joined(key, {part: self._organ(part) for part in self._leaves(vocabulary.STRUCTURES[key].parts)})

    def _with_search(self, key: str, detection: Detection, marked: Seen | None) -> Seen:
        searched = [self._searched(detection, host) for host in _hosts(detection, key)]
        spots = [spot for one in searched for spot in one.spots]
        if spots:
            return _together(key, spots, marked, detection)
        if marked is not None and (marked.state == "present" or not detection.excludes):
            return marked
        unknown = [one for one in searched if one.state != "absent"]
        doubts = [one for one in unknown if one.is_doubt]
        if doubts:
            return Seen("not assessed", reason=doubts[0].reason)
        if not unknown:
            return Seen("absent", None, None if marked is None else marked.confidence, searched[0].reason)
        if marked is not None and marked.state != "not assessed":
            return marked
        first = next((one for one in unknown if one.state == "not assessed"), unknown[0])
        return Seen(first.state, reason=first.reason)

    def _searched(self, detection: Detection, host: str) -> _Searched:
        name = vocabulary.STRUCTURES[host].name
        try:
            looked = FINDERS[detection.find](detection, host, self)
        except Refused as refused:
            region = self.region()
            outside = None if region is None else out_of_view(host, region, self.scan_range())
            return _Searched("not assessed", str(refused)) if outside is None else _Searched(OUTSIDE, outside)
        if looked.spots:
            return _Searched("present", spots=looked.spots)
        if looked.doubt:
            return _Searched("not assessed", looked.doubt, is_doubt=True)
        if not detection.excludes:
            return _Searched(
                "not assessed", f"Nothing stands out in the {name} by its density, which excludes nothing."
            )
        if is_cut(self.need(host, min_confidence=detection.min_confidence), self.volume):
            reason = f"The scan does not show the whole {name}, and nothing is found in what it shows."
            return _Searched("not assessed", reason)
        return _Searched("absent", f"Nothing {looked.unseen} would be seen.")


@dataclass(frozen=True)
class _Searched:
    """What is known of one organ after a search."""

    state: FactState
    reason: str = ""
    spots: tuple[KeptMask, ...] = ()
    is_doubt: bool = False
    """Whether it also forbids what the source says of the absence of a finding."""


def detection_of(key: str) -> Detection | None:
    """The detection of a finding, also by the key of one side."""
    side = vocabulary.STRUCTURES[key].side
    return load_detections().get(key if side is None else key.removesuffix(f"_{side}"))


def _hosts(detection: Detection, key: str) -> tuple[str, ...]:
    """The organs in which a finding lies; of a finding on one side, those of this side."""
    side = vocabulary.STRUCTURES[key].side
    return tuple(host for host in detection.of if side is None or vocabulary.STRUCTURES[host].side == side)


def _together(key: str, spots: Sequence[KeptMask], marked: Seen | None, detection: Detection) -> Seen:
    """What was found, and what the source marks, each lesion once."""
    marks = () if marked is None or marked.state != "present" or marked.mask is None else _pieces(marked, marked.mask)
    found = [spot for spot in spots if not any(spot.overlap(mark) for mark in marks)]
    each = [*marks, *found]
    mask = each[0].union(*each[1:]) if len(each) > 1 else each[0]
    if marked is None or not marks:
        reason = f"{BY_SEARCH} {detection.note}".strip()
        return Seen("present", mask, None, reason, pieces=tuple(each) if is_countable(key) else None)
    reason = f"{marked.reason} {PARTLY_BY_SEARCH}".strip() if found else marked.reason
    return replace(marked, mask=mask, reason=reason, pieces=tuple(each) if is_countable(key) else None)


def _pieces(marked: Seen, mask: KeptMask) -> tuple[KeptMask, ...]:
    return marked.pieces or tuple(pieces_of(mask))
