"""The gate before a publication: a candidate must be as good as the best version so far, on every structure.

A comparison with the last version alone would let five publications lose a little each. And a comparison of means alone
would let one structure fall while another rises. Scores are compared on the same scans with the same labels only: a
scan is named by the hash of its voxels and labels, so what was measured on it stays comparable when other scans join
or leave the hold-out, and is forgotten by itself when its label is corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

MEAN_TOLERANCE: Final = 0.005
"""The mean over structures may fall by this much Dice: two fine-tunings that differ by their seed alone differ so."""
STRUCTURE_TOLERANCE: Final = 0.02
"""One structure may fall by this much Dice."""
ROUNDING: Final = 1e-9
"""Of means of floats, so that a loss of exactly the tolerance is within it."""
MEAN: Final = "mean of all structures"

Scores = Mapping[str, Mapping[str, float]]
"""Dice by scan, and there by the vocabulary key of the structure."""


@dataclass(frozen=True)
class Measured:
    """The scores of one version that answered requests."""

    version: str
    scores: Scores


@dataclass(frozen=True)
class Fall:
    """A structure on which a candidate lost more than is allowed."""

    structure: str
    """Vocabulary key, or MEAN."""
    candidate: float
    best: float
    """Dice of the best version on the same scans."""
    version: str
    """The best version."""
    scans: int
    """Scans of the comparison."""

    def sentence(self) -> str:
        """For people."""
        tolerance = MEAN_TOLERANCE if self.structure == MEAN else STRUCTURE_TOLERANCE
        return (
            f"{self.structure}: Dice {self.candidate:.3f}, while version {self.version} had {self.best:.3f} on the "
            f"same {self.scans} hold-out scan{'' if self.scans == 1 else 's'}; a loss of {tolerance:g} is allowed"
        )


def falls(candidate: Scores, known: Iterable[Measured]) -> list[Fall]:
    """Every structure, and the mean of all, on which a candidate is worse than some version was on the same scans.

    Args:
        candidate: its scores on the hold-out of today.
        known: versions that answered requests, the current one among them, on the hold-outs of their days.

    Returns:
        One entry for each structure, against the version that was best on it; the largest loss first.
    """
    worst: dict[str, tuple[float, Fall]] = {}
    for measured in known:
        common = _common(candidate, measured.scores)
        for structure, scans in common.items():
            _keep(worst, _compare(structure, [(scan, structure) for scan in scans], candidate, measured))
        if common:
            pairs = [(scan, structure) for structure, scans in common.items() for scan in scans]
            _keep(worst, _compare(MEAN, pairs, candidate, measured))
    return [fall for _, fall in sorted(worst.values(), key=lambda item: -item[0])]


def mean_dice(scores: Scores) -> float:
    """Mean over structures of the mean over scans; 0 of nothing."""
    return _mean_of_means(scores, [(scan, structure) for scan, found in scores.items() for structure in found])


def _common(one: Scores, other: Scores) -> dict[str, list[str]]:
    """By structure, the scans on which both have it."""
    found: dict[str, list[str]] = {}
    for scan in sorted(one.keys() & other.keys()):
        for structure in sorted(one[scan].keys() & other[scan].keys()):
            found.setdefault(structure, []).append(scan)
    return found


def _compare(structure: str, pairs: Sequence[tuple[str, str]], candidate: Scores, measured: Measured) -> Fall:
    mine, best = _mean_of_means(candidate, pairs), _mean_of_means(measured.scores, pairs)
    return Fall(structure, mine, best, measured.version, len({scan for scan, _ in pairs}))


def _mean_of_means(scores: Scores, pairs: Iterable[tuple[str, str]]) -> float:
    by_structure: dict[str, list[float]] = {}
    for scan, structure in pairs:
        by_structure.setdefault(structure, []).append(scores[scan][structure])
    return float(np.mean([np.mean(values) for values in by_structure.values()])) if by_structure else 0.0


def _keep(worst: dict[str, tuple[float, Fall]], fall: Fall) -> None:
    lost = fall.best - fall.candidate
    tolerance = MEAN_TOLERANCE if fall.structure == MEAN else STRUCTURE_TOLERANCE
    if lost > tolerance + ROUNDING and (fall.structure not in worst or lost > worst[fall.structure][0]):
        worst[fall.structure] = lost, fall
