"""Many ways of saying one thing, one of them the usual one.

A small model learns a wording that comes often and still has to understand the others: half of the draws give the
canonical wording, the rest any pattern, each as likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medvlsam2.data.language.grammar import pick, sentence

CANONICAL_SHARE = 0.5

ON_SCAN = (
    *("", " in this scan", " on this CT", " on these images", " in this study"),
    *(" on the CT scan", " in this examination", " in this case"),
)
"""Ends of a question or a sentence about the scan."""


@dataclass(frozen=True)
class Wording:
    """Patterns of one kind of question or sentence; slots are named in braces."""

    canonical: str
    """The usual wording."""
    stems: tuple[str, ...]
    """Other wordings; the slot ``{tail}`` takes one of the tails."""
    tails: tuple[str, ...] = ON_SCAN
    """What may stand in ``{tail}``."""

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """Every wording with its own slots, each once, the canonical one first."""
        ends = self.tails if self.tails else ("",)
        spread = (stem.replace("{tail}", tail) for stem in self.stems for tail in ends)
        return tuple(dict.fromkeys((self.canonical, *spread)))

    def draw(self, rng: np.random.Generator, **slots: str) -> str:
        """One wording as a sentence or a question, half of the time the canonical one.

        Args:
            rng: Source of the choice.
            slots: Text of every slot.
        """
        pattern = self.canonical if rng.random() < CANONICAL_SHARE else pick(rng, self.patterns)
        return sentence(pattern.format_map(slots))
