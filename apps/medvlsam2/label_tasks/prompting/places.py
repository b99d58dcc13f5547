"""Names and values of a mask for a client that reads the n-th name as the name of the value n.

3D Slicer's module does: it clears every segment whose name a reply lists, then fills it with the voxels of its place in
that list. A structure that was asked for and not found would so erase what the annotator drew. Such names are left out,
and the values of the others are numbered anew, in the order asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from label_tasks.prompting.target import Target

LEFT_OUT: Final = 0
"""Value of a target that has no voxels: that of the background, which no name has."""
_NAMED: Final = 5
"""So many objects stand in a sentence."""


def by_place(targets: Sequence[Target], label_map: UInt8[np.ndarray, "i j k"]) -> tuple[Target, ...]:
    """The targets with the values 1..N in their order; those without voxels have the value ``LEFT_OUT``.

    Args:
        targets: the n-th is the value n of the label map.
        label_map: what was found.
    """
    is_held = np.zeros(256, dtype=bool)
    for plane in label_map:
        is_held[plane] = True
    placed, count = [], 0
    for number, target in enumerate(targets, start=1):
        count += bool(is_held[number])
        placed.append(replace(target, value=count if is_held[number] else LEFT_OUT))
    return tuple(placed)


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them: the first few, and how many more.

    Example:
        >>> listed(["liver", "spleen"])
        "'liver', 'spleen'"
    """
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
