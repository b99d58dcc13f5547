"""The colours in which the objects of one scan are shown together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from medvlsam2.data import vocabulary

Rgb = tuple[int, int, int]

PALETTE_RGB: Final[tuple[Rgb, ...]] = (
    (255, 99, 71), (64, 196, 255), (255, 214, 0), (124, 252, 120), (238, 130, 238), (255, 160, 60), (0, 220, 190),
)  # fmt: skip
"""Colours of objects that the vocabulary does not know, and of second objects of one structure."""


def colors_of(names: Sequence[str]) -> list[Rgb]:
    """One colour for each name: the vocabulary's, or one of the palette where that is not known or taken.

    Example:
        >>> liver, again = colors_of(["liver", "liver"])
        >>> liver == vocabulary.find("liver").color_rgb, again == liver
        (True, False)
    """
    structures = [vocabulary.lookup(name) for name in names]
    own = {structure.color_rgb for structure in structures if structure}
    colors: list[Rgb] = []
    for structure in structures:
        free = [color for color in PALETTE_RGB if color not in colors and color not in own]
        spare = free[0] if free else PALETTE_RGB[len(colors) % len(PALETTE_RGB)]
        colors.append(structure.color_rgb if structure and structure.color_rgb not in colors else spare)
    return colors
