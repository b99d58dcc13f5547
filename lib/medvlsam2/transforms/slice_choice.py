"""Which slices stand for all of them, where looking at each would take too long."""

from __future__ import annotations

import numpy as np


def evenly_spaced(count: int, at_most: int) -> list[int]:
    """Some of the numbers from 0 to ``count - 1``, as far apart from each other as they can be.

    A step of ``count // at_most`` would take up to twice as many as wanted, or leave out the end.

    Args:
        count: how many numbers there are.
        at_most: how many of them are wanted; all are taken where there are no more.

    Returns:
        In ascending order; the first and the last number are among them, if at least two are wanted.

    Example:
        >>> evenly_spaced(9, 3), evenly_spaced(2, 3)
        ([0, 4, 8], [0, 1])
    """
    if count <= at_most:
        return list(range(count))
    return np.linspace(0, count - 1, at_most).round().astype(int).tolist()
