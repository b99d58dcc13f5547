"""Boxes and points on a scan's grid: what of a box lies in the scan, and which voxel holds a point."""

from __future__ import annotations

BoxIJK = tuple[int, int, int, int, int, int]
"""Half-open: (i0, i1, j0, j1, k0, k1); the voxels i1, j1 and k1 are no part of it."""
PointIJK = tuple[float, float, float]
"""Voxel index of a place; whole numbers are centres of voxels."""
ShapeIJK = tuple[int, int, int]


def clipped(box_ijk: BoxIJK, shape_ijk: ShapeIJK) -> BoxIJK:
    """What of a box lies in a scan; of a box beside the scan nothing remains (see :func:`is_empty`).

    Example:
        >>> clipped((-3, 4, 2, 9, 0, 1), (10, 8, 5))
        (0, 4, 2, 8, 0, 1)
    """
    i0, i1, j0, j1, k0, k1 = (min(max(edge, 0), shape_ijk[number // 2]) for number, edge in enumerate(box_ijk))
    return i0, i1, j0, j1, k0, k1


def is_empty(box_ijk: BoxIJK) -> bool:
    """Whether a box holds no voxel, since an edge does not lie before its partner."""
    return any(start >= end for start, end in zip(box_ijk[0::2], box_ijk[1::2], strict=True))


def slices(box_ijk: BoxIJK, shape_ijk: ShapeIJK) -> tuple[slice, slice, slice]:
    """Index of the voxels of a box that lie in a scan."""
    i0, i1, j0, j1, k0, k1 = clipped(box_ijk, shape_ijk)
    return slice(i0, i1), slice(j0, j1), slice(k0, k1)


def holds(box_ijk: BoxIJK, voxel_ijk: tuple[int, int, int]) -> bool:
    """Whether a voxel is a part of a box."""
    return all(low <= at < high for at, low, high in zip(voxel_ijk, box_ijk[0::2], box_ijk[1::2], strict=True))


def is_in_scan(point_ijk: PointIJK, shape_ijk: ShapeIJK) -> bool:
    """Return whether a point lies in a scan, its outer faces included."""
    from medvlsam2.pixel_grid import is_inside  # here, so that the command line starts without NumPy

    return all(is_inside(place, size) for place, size in zip(point_ijk, shape_ijk, strict=True))


def voxel_of(point_ijk: PointIJK, shape_ijk: ShapeIJK) -> tuple[int, int, int]:
    """The voxel of a scan that holds a point, or that is nearest to one outside.

    Example:
        >>> voxel_of((1.4, -0.5, 9.9), (4, 4, 4))
        (1, 0, 3)
    """
    i, j, k = (round(min(max(place, 0), size - 1)) for place, size in zip(point_ijk, shape_ijk, strict=True))
    return i, j, k
