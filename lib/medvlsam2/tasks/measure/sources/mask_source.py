"""Where masks of names come from: a model that finds them, or a label map that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from medvlsam2.data.fact_table import FactState
from medvlsam2.data.facts import Region
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import ScanRange
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask

OUTSIDE: FactState = "outside the field of view"


@dataclass(frozen=True)
class Seen:
    """What a source knows of one name."""

    state: FactState
    mask: KeptMask | None = None
    """None: no voxel. A mask that is too unsure to be believed is kept, with the state "not assessed"."""
    confidence: float | None = None
    """0..1, how often a statement as sure as this one was right; None where that is not known."""
    reason: str = ""
    """One sentence: why it is not assessed, or what limits it."""
    pieces: tuple[KeptMask, ...] | None = None
    """Single lesions of a finding, where the source tells them apart; else they are the connected parts of the mask."""


@runtime_checkable
class MaskSource(Protocol):
    """Masks by name, and what is known of names without a mask."""

    @property
    def volume(self) -> CTVolume:
        """The scan."""

    @property
    def structures(self) -> Sequence[str]:
        """Vocabulary keys of the structures that the source can tell reliably, for a report of everything."""

    @property
    def findings(self) -> Sequence[str]:
        """Vocabulary keys of the findings that it can tell reliably."""

    def knows(self, key: str) -> bool:
        """Whether the source can have a mask of a name at all."""

    def why_unknown(self, key: str) -> str:
        """One sentence: why the source knows nothing of a name."""

    def see(self, keys: Sequence[str]) -> Mapping[str, Seen]:
        """Look for some names, each as if it was asked for alone. What has no mask is absent, outside or not assessed.

        Raises:
            Cancelled: if the work is no longer wanted.
        """

    def glimpses(self, key: str) -> bool:
        """Whether a quick look shows anything of a structure; what it does not show may still be found."""

    def region(self) -> Region | None:
        """The part of the body that the scan shows; None if nothing tells it."""

    def scan_range(self) -> ScanRange | None:
        """The part of the body axis that the scan covers; None if what is seen does not tell it."""
