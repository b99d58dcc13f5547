"""Proof of a finding that a model marked: the density of its mask must be that of what it is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medvlsam2.data.fact_table import Fact


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the mask of a finding must measure.

    Args:
        min_hu: least mean HU.
        max_hu: highest mean HU.
        min_ml: least volume.
        what: what has this density, in words.
        source: paper or guideline with its year.
        phases: contrast phases in which the density proves it; none: all.
    """

    what: str
    source: str
    min_hu: float = -1100.0
    max_hu: float = 3100.0
    min_ml: float = 0.0
    phases: Sequence[str] = ()

    def apply(self, fact: Fact, phase: str) -> Fact:
        """The fact with this source; "not assessed" if its mask measures something else.

        Args:
            fact: of one lesion.
            phase: contrast phase of the scan; "" where it is not known.
        """
        if self.phases and phase not in self.phases:
            return fact
        if fact.state != "present" or fact.mean_hu is None or fact.volume_ml is None:
            return fact
        reason = ""
        if not self.min_hu <= fact.mean_hu <= self.max_hu:
            reason = (
                f"What is marked as {fact.name} has {fact.mean_hu:.0f} HU on average; {self.what} has "
                f"{self.min_hu:.0f} to {self.max_hu:.0f} HU."
            )
        elif fact.volume_ml < self.min_ml:
            reason = f"What is marked as {fact.name} has only {fact.volume_ml:.1f} mL."
        if not reason:
            return replace(fact, source=self.source)
        return replace(fact, state="not assessed", reason=reason, source=self.source)
