"""Mask logits of one view of a scan on the mask grid of another: nearer, or along another axis."""

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


def regrid(
    logits: Float[Tensor, "d m m"], source: SpatialRecord, target: SpatialRecord, *, outside: float, limit: float = inf
) -> Iterator[tuple[slice, Float[Tensor, "n m m"]]]:
    """Sample mask logits (trilinear) at the pixel centres of another view's mask grid, which has the same side.

    Args:
        logits: on the mask grid of ``source``.
        source: the view they were found in.
        target: another view of the same scan.
        outside: value where the source view does not reach.
        limit: no logit counts for more than this.

    Returns:
        Slices of the target's, some at a time, in order, and what they get.

    Raises:
        GeometryMismatch: if the records are of two scans.
    """
    if source.source_shape_ijk != target.source_shape_ijk:
        raise GeometryMismatch(
            f"Views of scans of shapes {source.source_shape_ijk} and {target.source_shape_ijk} given; both must be of "
            "one scan."
        )
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
    """Values at the crossings of lines along each axis; only the slices that they lie between are looked at."""
    last = len(values) - 1
    first, end = (int(place.clamp(0, last)) for place in (lines[0].min().floor(), lines[0].max().ceil()))
    near = values[first : end + 1].float().clamp(-limit, limit)
    reached = [is_strictly_inside(line, size) for line, size in zip(lines, values.shape, strict=True)]
    inside = reached[0][:, None, None] & reached[1][:, None] & reached[2]
    places = [normalised(line - low, size) for line, low, size in zip(lines, (first, 0, 0), near.shape, strict=True)]
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
