"""Every crossing of half a pixel: between pixel indices, edges, grids of another side, and PyTorch's -1 … 1.

One axis of a grid of n pixels can be counted in four ways. Pixel i covers the indices from i - 0.5 to i + 0.5::

                   first edge   centre of pixel 0   centre of pixel i   last edge
    index            -0.5              0                   i             n - 0.5
    offset             0              0.5               i + 0.5             n
    share              0            0.5 / n           (i + 0.5) / n         1
    normalised        -1           1 / n - 1        (2 i + 1) / n - 1       1

An *index* is what clicks, masks and affines use. An *offset* is the distance from the first edge in pixels: of a
half-open box ``start:end`` the edges have the offsets ``start`` and ``end``. A *share* is a part of the grid's side.
*Normalised* places are those of ``torch.nn.functional.grid_sample(align_corners=False)``.

Two grids over one extent (a slice and its mask, a crop and its resized picture) have the same edges, so a place keeps
its share, and its offset grows with the number of pixels. A place may lie between pixels or outside of the grid.

The functions take floats, NumPy arrays and PyTorch tensors alike, and the order of their operations is a part of what
they promise: masks stay equal to the last bit. Nothing else in this package adds or subtracts half a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float, Int, Num

if TYPE_CHECKING:  # torch takes a second to import, and readers of scans do without
    from torch import Tensor

    Places = TypeVar("Places", float, np.ndarray, Tensor)
else:
    Places = TypeVar("Places")


def offset_of(index: Places) -> Places:
    """Distance in pixels from the grid's first edge to an index.

    Example:
        >>> offset_of(-0.5), offset_of(0)
        (0.0, 0.5)
    """
    return index + 0.5


def index_at(offset: Places) -> Places:
    """The index at a distance from the grid's first edge; the inverse of :func:`offset_of`.

    Example:
        >>> [index_at(edge) for edge in (2, 5)]  # edges of the half-open box 2:5, which holds the pixels 2, 3 and 4
        [1.5, 4.5]
    """
    return offset - 0.5


def share_of(index: Places, size: int) -> Places:
    """Where an index lies, as a part of the grid's side: 0 at the first edge, 1 at the last."""
    return offset_of(index) / size


def normalised(index: Places, size: int) -> Places:
    """Where an index lies for PyTorch's ``grid_sample(align_corners=False)``: -1 at the first edge, 1 at the last."""
    return offset_of(index) * 2 / size - 1


def centre_offsets(size: int) -> Float[np.ndarray, " {size}"]:
    """Distance of every pixel's centre from the first edge, in pixels.

    Example:
        >>> centre_offsets(3).tolist()
        [0.5, 1.5, 2.5]
    """
    return offset_of(np.arange(size))


def centre_shares(size: int) -> Float[np.ndarray, " {size}"]:
    """Every pixel's centre as a part of the grid's side.

    Example:
        >>> centre_shares(2).tolist()
        [0.25, 0.75]
    """
    return centre_offsets(size) / size


def middle_of(size: Places) -> Places:
    """Index of the middle of a grid; between two pixels where their number is even.

    Example:
        >>> middle_of(3), middle_of(4)
        (1.0, 1.5)
    """
    return index_at(size / 2)


def rescaled(index: Places, scale: float) -> Places:
    """The same place on another grid over the same extent.

    Args:
        index: on the first grid.
        scale: pixels of the other grid for each pixel of the first.

    Example:
        >>> rescaled(np.array([0, 1]), 2.0).tolist()  # two pixels become four
        [0.5, 2.5]
    """
    return index_at(offset_of(index) * scale)


def from_crop(index: Places, first: int, scale: float) -> Places:
    """The index on a whole grid of a place on a resized crop of it.

    Args:
        index: on the resized crop.
        first: number of the crop's first pixel on the whole grid; it may be negative.
        scale: pixels of the whole grid for each pixel of the resized crop.
    """
    return index_at(offset_of(index) * scale + first)


def to_crop(index: Places, first: int, scale: float) -> Places:
    """The index on a resized crop of a place on the whole grid; the inverse of :func:`from_crop`."""
    return index_at((offset_of(index) - first) / scale)


def pixel_under(index: Num[np.ndarray, "*n"], size: int, other_size: int) -> Int[np.ndarray, "*n"]:
    """Numbers of the pixels of another grid over the same extent that cover some places.

    Args:
        index: on the first grid.
        size: pixels of the first grid.
        other_size: pixels of the other grid.

    Returns:
        From 0 to ``other_size - 1``; beyond that for places outside of the grid.

    Example:
        >>> pixel_under(np.arange(6), 6, 2).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    return np.floor(offset_of(index) * other_size / size).astype(int)


def is_inside(index: float, size: int) -> bool:
    """Whether a place lies on the grid; its outer edges belong to it, since a click on them is meant for it.

    Example:
        >>> [is_inside(place, 4) for place in (-0.6, -0.5, 3.5, 3.6)]
        [False, True, True, False]
    """
    return bool(index_at(0) <= index <= index_at(size))  # a NumPy number would give NumPy's own bool


def is_strictly_inside(index: Places, size: int) -> Places:
    """Which places lie on the grid, its outer edges not among them: there a grid that goes on says more."""
    return (index > index_at(0)) & (index < index_at(size))
