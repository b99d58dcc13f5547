"""Which part of the slices is enlarged for a small object.

Nine parts cover a slice, each of two thirds of its side. They overlap, so that a small object lies well inside of one
of them; and they are few, so that neighbouring objects share the features of a part, and the next click finds them
already encoded.
"""

from __future__ import annotations

from typing import Final

from medvlsam2.model.propagation.object_query import ObjectQuery
from medvlsam2.pixel_grid import share_of
from medvlsam2.transforms.spatial import Crop, Edges, SpatialRecord

SMALL_PX: Final = 24
"""Objects up to this size on the mask grid get a nearer view …"""
SMALL_PART: Final = 4
"""… if they are also no larger than one over this of its side: then they lie well inside of a part."""
OFFSETS: Final = (0.0, 1 / 6, 1 / 3)
"""Where parts begin along rows and columns, in sides of a slice: nine parts in all …"""
PART: Final = 2 / 3
"""… and how long they are."""
INSIDE: Final = 0.1
"""An object lies well inside of a part if it is at least so far from the part's border, in sides of a slice."""


def part_round(
    record: SpatialRecord, edges: Edges, mask_size: int, clicked_hw: tuple[float, float] | None = None
) -> Crop | None:
    """The part of the slices in which a small object lies well; None for what is not small.

    Args:
        record: the whole view.
        edges: of the object, on its mask grid.
        mask_size: side of that grid.
        clicked_hw: row and column of the middle of the clicks on the object, in sides of a slice. The part round them
            is taken if the object lies well inside of that part, since its features may be encoded already; else the
            part in whose middle the object lies best.
    """
    sizes = [end - start for start, end in edges]
    if not 0 < max(sizes[1:]) <= min(SMALL_PX, mask_size / SMALL_PART):
        return None
    crop: list[int] = []
    borders = zip(record.crop_hw[0::2], record.crop_hw[1::2], strict=True)
    for axis, (first, last) in enumerate(borders):
        start, end = (edge / mask_size for edge in edges[1 + axis])
        offset = _offset((start + end) / 2)
        if clicked_hw is not None and _holds(_offset(clicked_hw[axis]), start, end):
            offset = _offset(clicked_hw[axis])
        begin = first + round(offset * (last - first))
        crop += [begin, begin + max(1, round(PART * (last - first)))]
    return crop[0], crop[1], crop[2], crop[3]


def clicked_middle_hw(query: ObjectQuery, side: int) -> tuple[float, float] | None:
    """Row and column of the middle of the clicks on an object, in sides of a slice; None without any."""
    clicks = [
        point
        for prompt in query.prompts.values()
        for point, label in zip(prompt.points_xy, prompt.point_labels, strict=True)
        if label == 1
    ]
    if not clicks:
        return None
    x, y = (sum(place) / len(clicks) for place in zip(*clicks, strict=True))
    return share_of(y, side), share_of(x, side)


def _offset(middle: float) -> float:
    """Where the part begins whose middle is nearest to a place."""
    return min(OFFSETS, key=lambda offset: abs(offset + PART / 2 - middle))


def _holds(offset: float, start: float, end: float) -> bool:
    """Whether what goes from start to end lies well inside of a part.

    A border that the part shares with the slice does not count: beyond it there is nothing to see.
    """
    low = start >= offset + INSIDE or offset == OFFSETS[0]
    return low and (end <= offset + PART - INSIDE or offset == OFFSETS[-1])
