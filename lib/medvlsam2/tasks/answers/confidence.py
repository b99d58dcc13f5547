"""Calibrated confidence: how often an answer as sure as this one was right, and when an object counts as present.

The model's own sureness (object score x predicted IoU) tells sure answers from unsure ones, but a sureness of 0.6 does
not mean that 60 % of such answers are right. ``benchmarks/confidence.py`` counts right answers by words on labelled
scans. It writes into the model's metadata the sureness from which an object counts as present, and two piecewise linear
curves from sureness to the share of right answers. A model without these entries answers with its own sureness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language.clinical import structures_in

RIGHT_DICE: Final = 0.5
"""A mask counts as right from this Dice on: its overlap with the truth is at least half of their mean size."""


@dataclass(frozen=True)
class Calibration:
    """What was counted for one kind of object (structures or findings).

    Args:
        present_from: sureness from which on an object counts as present.
        present: points (sureness, share of such masks that were right).
        absent: points (sureness of an object that was then called absent, share of cases in which it was absent).
    """

    present_from: float
    present: tuple[tuple[float, float], ...]
    absent: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, metadata: Mapping[str, Any], text: str) -> Calibration | None:
        """The calibration for the kind of object that a phrase means; None if the model's card has none."""
        counted = metadata.get("confidence", {}).get("finding" if is_finding(text) else "structure")
        if counted is None:
            return None
        return cls(counted["present_from"], _knots(counted["present"]), _knots(counted["absent"]))

    def is_present(self, sureness: float) -> bool:
        """Whether an object that was seen with this sureness counts as present."""
        return sureness >= self.present_from

    def confidence(self, sureness: float, *, present: bool) -> float:
        """0..1: how often such an answer was right."""
        at, share = zip(*(self.present if present else self.absent), strict=True)
        return float(np.interp(sureness, at, share))


def is_finding(text: str) -> bool:
    """Whether a phrase means a finding and not normal anatomy; a phrase that is not understood counts as a finding."""
    known = vocabulary.lookup(text)
    if known is not None:
        return known.is_finding
    words = [vocabulary.lookup(word) for word in text.split()]
    return not structures_in(text) or any(word is not None and word.is_finding for word in words)


def _knots(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
