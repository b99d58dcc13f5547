"""Choice of the colours in which the objects of one scan are shown together."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.colours.cielab import cielab
from medvlsam2.data.structures.table import Rgb

PALETTE_RGB: Final[tuple[Rgb, ...]] = (
    (255, 99, 71), (64, 196, 255), (255, 214, 0), (124, 252, 120), (238, 130, 238), (255, 160, 60), (0, 220, 190),
)  # fmt: skip
"""Spare colours, for objects that the vocabulary does not know and for the second object of the same structure."""


FAR_ENOUGH: Final = 25.0
"""Smallest CIELab distance of a spare colour from every other colour of the picture. A distance of 10 is visible at a
glance; 25 leaves no doubt."""


def colors_of(names: Sequence[str]) -> list[Rgb]:
    """Return a different colour for each name: the vocabulary's colour, or a spare colour if that is unknown or used.

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
    """Return the first palette colour that is far from all colours of the picture.

    If no palette colour is far enough, return the colour of palette and vocabulary that is farthest from them.
    """
    palette = dict.fromkeys((*PALETTE_RGB, *(structure.color_rgb for structure in vocabulary.STRUCTURES.values())))
    spare = list(palette)
    if not taken:
        return spare[0]
    gaps = cielab(np.array(spare))[:, None] - cielab(np.array(sorted(taken)))
    distance = np.linalg.norm(gaps, axis=2).min(axis=1)
    good = np.flatnonzero(distance[: len(PALETTE_RGB)] >= FAR_ENOUGH)
    return spare[int(good[0]) if len(good) else int(distance.argmax())]
