"""The part of the body axis that one scan covers, and what follows for a structure, the region and the levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.tasks.measure.body_axis.table import End, Span, load_axis

SURE: Final = 2.0
"""A structure lies surely on one side of the scan's end if it is farther away than so many standard deviations."""
Place = Literal["inside", "cut", "outside", "near"]
"""Of a structure: surely inside as a whole; surely seen, but perhaps not whole; surely outside; too near an end."""


@dataclass(frozen=True)
class Whereabouts:
    """Where a structure lies relative to a scan."""

    place: Place
    apart_mm: float = 0.0
    """Distance of a structure outside from the scan's end."""
    beyond: Literal["above", "below", ""] = ""
    """Beyond which end a structure outside lies."""

    @property
    def in_view(self) -> bool:
        """Whether something of the structure lies surely in the scan."""
        return self.place in ("inside", "cut")


@dataclass(frozen=True)
class ScanRange:
    """The range of one scan, in mm above the disc between L1 and L2 of a usual adult."""

    low_mm: float
    high_mm: float
    low_sd_mm: float
    """Standard deviation of the lower end."""
    high_sd_mm: float
    agreeing: int
    """Ends of structures that agree with the range."""
    ends: int
    """Ends that were compared."""

    def whereabouts(self, key: str) -> Whereabouts | None:
        """Return where a structure lies relative to the scan; None if the axis does not hold it.

        A whole, such as both kidneys, lies where its parts lie.

        Args:
            key: of the vocabulary.
        """
        spans = list(_spans(key))
        if not spans:
            return None
        low = min((span.low for span in spans), key=lambda end: end.at_mm)
        high = max((span.high for span in spans), key=lambda end: end.at_mm)
        below_mm, above_mm = self.low_mm - high.at_mm, low.at_mm - self.high_mm
        if below_mm > self._margin(high, self.low_sd_mm):
            return Whereabouts("outside", below_mm, "below")
        if above_mm > self._margin(low, self.high_sd_mm):
            return Whereabouts("outside", above_mm, "above")
        if -below_mm < self._margin(high, self.low_sd_mm) or -above_mm < self._margin(low, self.high_sd_mm):
            return Whereabouts("near")
        is_whole = low.at_mm - self.low_mm > self._margin(low, self.low_sd_mm)
        is_whole &= self.high_mm - high.at_mm > self._margin(high, self.high_sd_mm)
        return Whereabouts("inside" if is_whole else "cut")

    def place_of(self, key: str) -> Place | None:
        """Return the place of a structure alone; None if the axis does not hold it."""
        found = self.whereabouts(key)
        return None if found is None else found.place

    def region(self) -> Region:
        """Return the part of the body whose usual range is most like the scan's (overlap over union)."""
        regions = load_axis().regions
        return max(regions, key=lambda region: self._overlap(*regions[region]))

    def levels(self) -> str:
        """Return the vertebrae that the scan reaches, as "T12 to S1", or what lies beyond them in words."""
        ends = [_level(self.high_mm), _level(self.low_mm)]
        return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"

    def says_outside(self, key: str) -> str:
        """Return the sentence that a structure lies outside; "" if it does not surely do so."""
        found = self.whereabouts(key)
        if found is None or found.place != "outside":
            return ""
        name = anatomy.the(key)
        apart = max(10, round(found.apart_mm, -1))
        return f"The scan covers about {self.levels()}, and {name} lies about {apart:.0f} mm {found.beyond}."

    def _overlap(self, low_mm: float, high_mm: float) -> float:
        common = min(self.high_mm, high_mm) - max(self.low_mm, low_mm)
        union = max(self.high_mm, high_mm) - min(self.low_mm, low_mm)
        return common / union

    @staticmethod
    def _margin(end: End, sd_mm: float) -> float:
        return float(SURE * np.hypot(end.sd_mm, sd_mm))


def _spans(key: str) -> Iterator[Span]:
    spans = load_axis().spans
    if key in spans:
        yield spans[key]
        return
    known = vocabulary.STRUCTURES.get(key)
    for part in () if known is None else known.parts:
        yield from _spans(part)


def _level(at_mm: float) -> str:
    """The vertebra at a height, the disc below it included; above and below the spine, words."""
    spans = {key: span for key, span in load_axis().spans.items() if key.startswith("vertebrae_")}
    highest = max(spans.values(), key=lambda span: span.high.at_mm)
    lowest = min(spans.values(), key=lambda span: span.low.at_mm)
    if at_mm > highest.high.at_mm + ABOVE_MM:
        return "the head"
    if at_mm < lowest.low.at_mm - BELOW_MM:
        return "the thighs" if at_mm < load_axis().spans["hip_left"].low.at_mm else "the pelvis"
    middle = {key: 0.5 * (span.low.at_mm + span.high.at_mm) for key, span in spans.items()}
    return min(middle, key=lambda key: abs(middle[key] - at_mm)).removeprefix("vertebrae_")


ABOVE_MM: Final = 15.0
"""So far above the highest vertebra the head begins."""
BELOW_MM: Final = 30.0
"""So far below the lowest vertebra the scan is said to reach into the pelvis."""
