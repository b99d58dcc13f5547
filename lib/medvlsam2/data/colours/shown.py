"""The colours in which the objects of one scan are shown together."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.colours.cielab import cielab

Rgb = tuple[int, int, int]

PALETTE_RGB: Final[tuple[Rgb, ...]] = (
    (255, 99, 71), (64, 196, 255), (255, 214, 0), (124, 252, 120), (238, 130, 238), (255, 160, 60), (0, 220, 190),
)  # fmt: skip
"""Colours of objects that the vocabulary does not know, and of second objects of one structure."""


FAR_ENOUGH: Final = 25.0
"""CIELab distance at which nobody takes one spare colour for another colour of the picture (10 is seen at a glance)."""


def colors_of(names: Sequence[str]) -> list[Rgb]:
    """One colour for each name: the vocabulary's, or a spare one where that is not known or taken.

    Example:
        >>> liver, again = colors_of(["liver", "liver"])
        >>> liver == vocabulary.find("liver").color_rgb, again == liver
        (True, False)
    """
    structures = [vocabulary.lookup(name) for name in names]
    taken = {structure.color_rgb for structure in structures if structure}
    given: set[Rgb] = set()
    colors: list[Rgb] = []
    for structure in structures:
        if structure and structure.color_rgb not in given:
            colors.append(structure.color_rgb)
        else:
            colors.append(_spare(taken))
            taken.add(colors[-1])
        given.add(colors[-1])
    return colors


def _spare(taken: Set[Rgb]) -> Rgb:
    """The first of the palette that is far from all colours of the picture; else the farthest of the whole table."""
    palette = dict.fromkeys((*PALETTE_RGB, *(one.color_rgb for one in vocabulary.STRUCTURES.values())))
    spare = list(palette)
    if not taken:
        return spare[0]
    gaps = cielab(np.array(spare))[:, None] - cielab(np.array(sorted(taken)))
    distance = np.linalg.norm(gaps, axis=2).min(axis=1)
    good = np.flatnonzero(distance[: len(PALETTE_RGB)] >= FAR_ENOUGH)
    return spare[int(good[0]) if len(good) else int(distance.argmax())]
