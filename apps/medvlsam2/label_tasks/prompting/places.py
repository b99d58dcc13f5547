"""Names and values of a mask for a client that takes the n-th name of a reply for the name of the value n.

3D Slicer's module is such a client: it clears every segment whose name a reply lists, and fills it with the voxels
whose value is the position of the name. A structure that was not found would so erase what the annotator drew. So
names of structures that were not found are left out, and the others get the values 1..N in the order asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from label_tasks.prompting.target import Target

LEFT_OUT: Final = 0
"""Value of a target without voxels: the background's, which never has a name."""
_NAMED: Final = 5
"""At most so many objects are named in a sentence."""


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
    """Names as a list for a sentence: the first few, and how many more there are.

    Example:
        >>> listed(["liver", "spleen"])
        "'liver', 'spleen'"
    """
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
