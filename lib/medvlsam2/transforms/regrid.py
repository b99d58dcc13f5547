"""Mask logits of one view of a scan on the mask grid of another: nearer, or along another axis."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from medvlsam2.errors import GeometryMismatch
from medvlsam2.transforms.spatial import SpatialRecord

SLICES_AT_ONCE: Final = 32


def regrid(
    logits: Float[Tensor, "d m m"], source: SpatialRecord, target: SpatialRecord, *, outside: float
) -> Float[Tensor, "e m m"]:
    """Sample mask logits (trilinear) at the pixel centres of another view's mask grid, which has the same side.

    Args:
        logits: on the mask grid of ``source``.
        source: the view they were found in.
        target: another view of the same scan.
        outside: value where the source view does not reach.

    Raises:
        GeometryMismatch: if the records are of two scans.
    """
    if source.source_shape_ijk != target.source_shape_ijk:
        raise GeometryMismatch(
            f"Views of scans of shapes {source.source_shape_ijk} and {target.source_shape_ijk} given; both must be of "
            "one scan."
        )
    side = logits.shape[-1]
    order = [source.axes.index(axis) for axis in target.axes]
    lines = [_places(axis, order[axis], side, source, target) for axis in range(3)]
    values = logits.float().permute(order)
    sizes = values.shape
    reached = [(line > -0.5) & (line < size - 0.5) for line, size in zip(lines, sizes, strict=True)]
    rows, columns = (_normalised(lines[axis], sizes[axis]) for axis in (1, 2))
    inside = (reached[1][:, None] & reached[2]).to(values.device)
    found = torch.full((len(lines[0]), side, side), outside, device=values.device)
    for part, some, is_reached in zip(
        *(torch.split(one, SLICES_AT_ONCE) for one in (found, _normalised(lines[0], sizes[0]), reached[0])), strict=True
    ):
        grid = torch.stack(torch.meshgrid(some, rows, columns, indexing="ij")[::-1], dim=-1)[None].to(values)
        sampled = F.grid_sample(values[None, None], grid, padding_mode="border", align_corners=False)[0, 0]
        part.copy_(torch.where(is_reached[:, None, None].to(values.device) & inside, sampled, part))
    return found


def _normalised(places: Float[Tensor, " n"], size: int) -> Float[Tensor, " n"]:
    """From pixels to PyTorch's -1 … 1."""
    return (places + 0.5) * 2 / size - 1


def _places(
    axis: int, source_axis: int, side: int, source: SpatialRecord, target: SpatialRecord
) -> Float[Tensor, " n"]:
    """Where the target's pixels lie along one axis, in pixels of the source's mask grid."""
    count = target.num_slices if axis == 0 else side
    points_dhw = np.zeros((count, 3))
    points_dhw[:, axis] = _rescaled(np.arange(count), 1.0 if axis == 0 else target.side / side)
    places = source.ijk_to_dhw(target.dhw_to_ijk(points_dhw))[:, source_axis]
    return torch.from_numpy(_rescaled(places, 1.0 if source_axis == 0 else side / source.side))


def _rescaled(places: Num[np.ndarray, " n"], scale: float) -> Float[np.ndarray, " n"]:
    return (places + 0.5) * scale - 0.5
