"""Different wordings of the same question or sentence, one of which is canonical.

A small model learns to write a wording that it sees often, and still has to understand the others. Therefore half of
the draws give the canonical wording. The other half gives any of the wordings with equal probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medvlsam2.data.language.grammar import pick, sentence

CANONICAL_SHARE = 0.5
"""Probability of the canonical wording, before the draw among all wordings."""

ON_SCAN = (
    *("", " in this scan", " on this CT", " on these images", " in this study"),
    *(" on the CT scan", " in this examination", " in this case"),
)
"""Ends of a question or a sentence about the scan."""


@dataclass(frozen=True)
class Wording:
    """Wordings of one kind of question or sentence. Words in braces are slots, which ``draw`` fills."""

    canonical: str
    """The canonical wording."""
    stems: tuple[str, ...]
    """Other wordings; the slot ``{tail}`` takes each of the tails."""
    tails: tuple[str, ...] = ON_SCAN
    """Texts for the slot ``{tail}``."""

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """All wordings with their slots except ``{tail}``, each once, the canonical wording first."""
        ends = self.tails if self.tails else ("",)
        spread = (stem.replace("{tail}", tail) for stem in self.stems for tail in ends)
        return tuple(dict.fromkeys((self.canonical, *spread)))

    def draw(self, rng: np.random.Generator, **slots: str) -> str:
        """Return a random wording as a sentence or a question; at least half of the draws are canonical.

        Args:
            rng: random generator for the choice.
            slots: text of every slot.
        """
        pattern = self.canonical if rng.random() < CANONICAL_SHARE else pick(rng, self.patterns)
        return sentence(pattern.format_map(slots))
