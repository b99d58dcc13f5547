"""Training texts in which a list of measurements occurs twice, so that a small language model learns to copy.

A model that was trained only on likely texts does not learn to look back in its prompt. From a list that occurs twice
the model learns it, because only the first list tells how the second continues (induction heads, Olsson et al. 2022).
"""

from __future__ import annotations

import re

import numpy as np

from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.grammar import shuffled
from medvlsam2.data.language.measurements import corrupted, measured_text

NUM_ITEMS = (3, 10)
"""Fewest and most items of a list."""
SHUFFLED_SHARE = 0.3
"""Share of texts in which the second list has another order."""
_BETWEEN_ITEMS = re.compile(r"\. |[,;:] ")


def repeated_list(rng: np.random.Generator) -> tuple[str, str]:
    """Return a list of some measurements of an imagined scan, and a second list of the same items.

    Args:
        rng: random generator for every choice.
    """
    text = measured_text(corrupted(random_facts(rng), rng)).removesuffix(".")
    items = shuffled(rng, _BETWEEN_ITEMS.split(text))[: int(rng.integers(NUM_ITEMS[0], NUM_ITEMS[1] + 1))]
    again = shuffled(rng, items) if rng.random() < SHUFFLED_SHARE else items
    return _line(items), _line(again)


def _line(items: list[str]) -> str:
    return f"{'; '.join(items)}.\n"
