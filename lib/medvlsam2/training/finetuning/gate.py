"""The gate before a publication: a candidate must be as good as the best version so far, on every structure.

A comparison with the last version alone would let five publications lose a little each. A comparison of means would let
one structure fall while another rises. Scores are compared on the same scans with the same labels only: a scan is named
by the hash of its voxels and labels. So a score stays comparable when other scans join or leave the hold-out, and no
longer counts when the label of its scan is corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

TOLERANCE: Final = 0.005
"""A structure may lose this much Dice against the best version, a little more than noise: after two fine-tunings of the
shipped ``nano`` on the same two phantoms that differed by their seed alone (24 steps each), the Dice of a structure on
the two hold-out phantoms differed by up to 0.003, and by as much from that of ``nano`` itself. In a small structure one
pixel is worth more: there a candidate may lose one pixel (see :func:`allowed_loss`)."""
ROUNDING: Final = 1e-9
"""Error of means of floats, so that a loss of exactly the tolerance is allowed."""

Scores = Mapping[str, Mapping[str, float]]
"""Dice by scan, and for each scan by the vocabulary key of the structure."""
Sizes = Mapping[str, Mapping[str, int]]
"""Pixels of the truth by scan, and for each scan by the vocabulary key of the structure."""


@dataclass(frozen=True)
class Measured:
    """The scores of one version that answered requests."""

    version: str
    scores: Scores


@dataclass(frozen=True)
class Fall:
    """A structure on which a candidate lost more than is allowed."""

    structure: str
    """Vocabulary key."""
    candidate: float
    best: float
    """Dice of the best version on the same scans."""
    version: str
    """The best version."""
    scans: int
    """Number of scans that both were measured on."""
    allowed: float
    """Loss that is allowed."""

    @property
    def lost(self) -> float:
        """Dice that was lost."""
        return self.best - self.candidate

    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.structure}: Dice {self.candidate:.3f}, while version {self.version} had {self.best:.3f} on the "
            f"same {self.scans} hold-out scan{'' if self.scans == 1 else 's'}; a loss of {self.allowed:.3f} is allowed"
        )


def falls(candidate: Scores, known: Iterable[Measured], sizes: Sizes) -> list[Fall]:
    """Every structure on which a candidate is worse than some version was on the same scans.

    Args:
        candidate: its scores on the present hold-out.
        known: versions that answered requests, the current one among them, each on the hold-out of its time.
        sizes: of the structures on the present hold-out.

    Returns:
        One entry for each structure, against the version from which it lost most; the largest loss first.
    """
    worst: dict[str, Fall] = {}
    for measured in known:
        for structure, scans in _common(candidate, measured.scores).items():
            mine, theirs = (
                float(np.mean([scores[scan][structure] for scan in scans])) for scores in (candidate, measured.scores)
            )
            allowed = allowed_loss([sizes[scan][structure] for scan in scans])
            fall = Fall(structure, mine, theirs, measured.version, len(scans), allowed)
            if fall.lost > allowed + ROUNDING and (structure not in worst or fall.lost > worst[structure].lost):
                worst[structure] = fall
    return sorted(worst.values(), key=lambda fall: -fall.lost)


def allowed_loss(sizes: Sequence[int]) -> float:
    """How much mean Dice a candidate may lose on a structure.

    One pixel changes the Dice of a structure of n pixels by about 1/n at most, and the mean over the scans by that part
    of it. The gallbladders of the two hold-out phantoms have some 16 pixels each: one pixel more cost 0.026 there.

    Args:
        sizes: pixels of the structure's truth on each scan.

    Example:
        >>> allowed_loss([4000, 5000]), allowed_loss([16, 20])
        (0.005, 0.03125)
    """
    return max(TOLERANCE, 1 / (min(sizes) * len(sizes)))


def mean_dice(scores: Scores) -> float:
    """Mean over structures of the mean over scans; 0 where there is nothing to average."""
    by_structure: dict[str, list[float]] = {}
    for found in scores.values():
        for structure, dice in found.items():
            by_structure.setdefault(structure, []).append(dice)
    return float(np.mean([np.mean(values) for values in by_structure.values()])) if by_structure else 0.0


def _common(one: Scores, other: Scores) -> dict[str, list[str]]:
    """By structure, the scans on which both have it."""
    found: dict[str, list[str]] = {}
    for scan in sorted(one.keys() & other.keys()):
        for structure in sorted(one[scan].keys() & other[scan].keys()):
            found.setdefault(structure, []).append(scan)
    return found
