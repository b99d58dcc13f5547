"""Confidence that means what it says: how often an answer as sure as this one was right, and what counts as present.

A model's own sureness (object score x predicted IoU) tells sure answers from unsure ones, but 0.6 of it is not 60 %.
``benchmarks/confidence.py`` counts on scans of known truth how often answers by words were right, and writes into the
model's metadata from which sureness on an object counts as present, and two lines from sureness to the share of right
answers. A model without them answers with its own sureness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language.clinical import structures_in

RIGHT_DICE: Final = 0.5
"""A mask counts as right from this Dice on: most of both lie in each other."""


@dataclass(frozen=True)
class Calibration:
    """What was counted for one kind of object.

    Args:
        present_from: sureness from which on an object counts as present.
        present: sureness, and how often an answer as sure was a right mask.
        absent: sureness of what was seen nevertheless, and how often the object was indeed not there.
    """

    present_from: float
    present: tuple[tuple[float, float], ...]
    absent: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, metadata: Mapping[str, Any], text: str) -> Calibration | None:
        """Of what a phrase means; None where the model's card has none."""
        counted = metadata.get("confidence", {}).get("finding" if is_finding(text) else "structure")
        if counted is None:
            return None
        return cls(counted["present_from"], _knots(counted["present"]), _knots(counted["absent"]))

    def is_present(self, sureness: float) -> bool:
        """Whether something that was seen so surely counts."""
        return sureness >= self.present_from

    def confidence(self, sureness: float, *, present: bool) -> float:
        """0..1: how often such an answer was right."""
        at, share = zip(*(self.present if present else self.absent), strict=True)
        return float(np.interp(sureness, at, share))


def is_finding(text: str) -> bool:
    """Whether a phrase means a finding rather than normal anatomy; what is not understood is taken for one."""
    known = vocabulary.lookup(text)
    if known is not None:
        return known.is_finding
    words = [vocabulary.lookup(word) for word in text.split()]
    return not structures_in(text) or any(word is not None and word.is_finding for word in words)


def _knots(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
