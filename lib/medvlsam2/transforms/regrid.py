"""Mask logits of one view of a scan on the mask grid of another view: a nearer one, or one along another axis.

Both grids have axes parallel to those of the scan. So the crossing between them is three crossings along one axis
each, and the places to sample are a lattice: one line of places for each axis instead of a place for each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from medvlsam2.errors import GeometryMismatch
from medvlsam2.pixel_grid import is_strictly_inside, normalised
from medvlsam2.transforms.spatial import SpatialRecord

SLICES_AT_ONCE: Final = 32
"""A whole scan's places and samples at once would take several times the memory of its logits."""


def regrid(
    logits: Float[Tensor, "d m m"], source: SpatialRecord, target: SpatialRecord, *, outside: float, limit: float = inf
) -> Iterator[tuple[slice, Float[Tensor, "n m m"]]]:
    """Sample mask logits (trilinear) at the pixel centres of another view's mask grid, which has the same side.

    Args:
        logits: on the mask grid of ``source``.
        source: the view they were found in.
        target: another view of the same scan.
        outside: value where the source view does not reach.
        limit: logits are clamped to this before they are sampled, so that none outweighs its neighbours.

    Returns:
        Some slices of the target at a time, in order: their numbers and their logits.

    Raises:
        GeometryMismatch: if the records are of two scans.
    """
    if source.source_shape_ijk != target.source_shape_ijk:
        raise GeometryMismatch(
            f"Views of scans of shapes {source.source_shape_ijk} and {target.source_shape_ijk} given; both must be of "
            "one scan."
        )
    # for d, h, w of the target the axis of the source that runs along the same axis of the scan
    order = [source.axes.index(axis) for axis in target.axes]
    lines = [_places(axis, order[axis], logits.shape[-1], source, target) for axis in range(3)]
    values = logits.permute(order)
    numbers = range(len(lines[0]))
    return (
        (slice(some.start, some.stop), _sampled(values, [lines[0][some.start : some.stop], *lines[1:]], outside, limit))
        for some in (numbers[start : start + SLICES_AT_ONCE] for start in numbers[::SLICES_AT_ONCE])
    )


def _sampled(
    values: Float[Tensor, "d h w"], lines: Sequence[Float[Tensor, " _"]], outside: float, limit: float
) -> Float[Tensor, "n m m"]:
    """Values at the crossings of three lines of places, one along each axis; only the slices round them are copied."""
    last = len(values) - 1
    first, end = (int(place.clamp(0, last)) for place in (lines[0].min().floor(), lines[0].max().ceil()))
    near = values[first : end + 1].float().clamp(-limit, limit)
    reached = [is_strictly_inside(line, size) for line, size in zip(lines, values.shape, strict=True)]
    inside = reached[0][:, None, None] & reached[1][:, None] & reached[2]
    places = [normalised(line - low, size) for line, low, size in zip(lines, (first, 0, 0), near.shape, strict=True)]
    # grid_sample wants x, y, z: the last axis first
    grid = torch.stack(torch.meshgrid(*places, indexing="ij")[::-1], dim=-1)[None].to(near)
    sampled = F.grid_sample(near[None, None], grid, padding_mode="border", align_corners=False)[0, 0]
    return torch.where(inside.to(near.device), sampled, outside)


def _places(
    axis: int, source_axis: int, side: int, source: SpatialRecord, target: SpatialRecord
) -> Float[Tensor, " n"]:
    """Where the target's pixels lie along one axis, in pixels of the source's mask grid."""
    count = target.num_slices if axis == 0 else side
    points_dhw = np.zeros((count, 3))
    points_dhw[:, axis] = np.arange(count)
    places = source.ijk_to_mask(target.mask_to_ijk(points_dhw, side), side)
    return torch.from_numpy(places[:, source_axis])
