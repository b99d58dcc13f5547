"""Where an object or its box begins and ends on the mask grid."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery
from medvlsam2.transforms.spatial import Edges, GridBox


def box_extent(query: ObjectQuery, mask_size: int, image_size: int) -> Edges | None:
    """Where the query's box lies; None without one.

    Args:
        query: of one object.
        mask_size: side of the mask grid in pixels.
        image_size: side of the slice in pixels, in which the query's box is given.
    """
    if query.box_xyxy is None or query.last_slice is None:
        return None
    return GridBox(query.first_slice, query.last_slice, query.box_xyxy).edges_on(mask_size, image_size)


def extent(masks: ObjectMasks) -> Edges:
    """Where the smallest box round a mask lies; from 0 to 0 where the mask is empty."""
    held = masks.mask_logits > 0
    depth, height, width = (_held_range(held.movedim(axis, 0)) for axis in range(3))
    return depth, height, width


def _held_range(held: Bool[Tensor, "n _ _"]) -> tuple[float, float]:
    line = torch.nonzero(held.flatten(1).any(dim=1)).flatten()
    return (float(line[0]), float(line[-1] + 1)) if len(line) else (0.0, 0.0)
