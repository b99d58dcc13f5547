"""Lists of what masks measure, and the same lists again: what a small language model learns to copy from.

A model that has only ever told what is likely does not begin to look back in its prompt; from a list that comes twice
it does, since nothing else tells how the second goes on (the induction heads of Olsson et al. 2022).
"""

from __future__ import annotations

import re

import numpy as np

from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.grammar import shuffled
from medvlsam2.data.language.measurements import corrupted, measured_text

NUM_ITEMS = (3, 10)
SHUFFLED_SHARE = 0.3
"""How often the second list comes in another order."""
_BETWEEN_ITEMS = re.compile(r"\. |[,;:] ")


def repeated_list(rng: np.random.Generator) -> tuple[str, str]:
    """Some items of an imagined scan's measurements, and the same items once more.

    Args:
        rng: source of every choice.
    """
    told = measured_text(corrupted(random_facts(rng), rng)).removesuffix(".")
    items = shuffled(rng, _BETWEEN_ITEMS.split(told))[: int(rng.integers(NUM_ITEMS[0], NUM_ITEMS[1] + 1))]
    again = shuffled(rng, items) if rng.random() < SHUFFLED_SHARE else items
    return _line(items), _line(again)


def _line(items: list[str]) -> str:
    return f"{'; '.join(items)}.\n"
