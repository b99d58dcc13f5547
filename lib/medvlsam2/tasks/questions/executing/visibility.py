"""How likely a scan shows a structure, by its mask or its place: the order of choices that compete."""

from __future__ import annotations

from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.tasks.measure.body_axis.scan_range import Place
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene

MARKED: Final = 1.0
BY_PLACE: Final = 0.9
OF_PLACE: Final[dict[Place, float]] = {"inside": 0.7, "cut": 0.6, "near": 0.4}
"""Of a structure that is not assessed. The numbers are an order, and no probabilities."""
UNKNOWN: Final = 0.5
ABSENT: Final = 0.2
FARTHEST_MM: Final = 10_000.0
"""Farther than any structure: what lies farther away is less likely seen, and less than what is merely absent."""


def visibility(key: str, outcome: Outcome, scene: Scene) -> float:
    """Return a number that is larger the more likely a scan shows a structure or finding.

    Args:
        key: of the vocabulary.
        outcome: of the question whether it is there.
        scene: of the scan.
    """
    if outcome.value is True:
        return BY_PLACE if outcome.detail.get("by place") else MARKED
    scan_range = None if vocabulary.STRUCTURES[key].is_finding else scene.facts.scan_range()
    found = None if scan_range is None else scan_range.whereabouts(key)
    if found is not None and found.place == "outside":
        return -found.apart_mm / FARTHEST_MM
    likely = UNKNOWN if found is None else OF_PLACE[found.place]
    return likely if outcome.value is None else ABSENT * likely
