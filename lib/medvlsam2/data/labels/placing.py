"""Finds which voxel of the scan each voxel of a label file is.

Programs save a label on the same voxels in many ways: with other rounding, with axes in another order or direction,
with the other of a NIfTI's two transforms, or, as 3D Slicer does, cut to what is painted. All of these are accepted.
Nothing is resampled: a label whose voxels do not coincide with the scan's is refused with figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt16

from medvlsam2 import geometry
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.placement import scan_affine
from medvlsam2.errors import GeometryMismatch

Affine = Float[np.ndarray, "4 4"]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class _Fit:
    """Which scan voxel each label voxel is."""

    axes: tuple[int, int, int]
    """The scan axis along which each label axis runs."""
    signs: tuple[int, int, int]
    """Whether each label axis runs forwards (1) or backwards (-1)."""
    start: Shape
    """The scan voxel of the label's corner with the lowest indices, after its axes were put in the scan's order."""
    shape: Shape
    """Voxels of the label along the scan's axes."""


def on_scan_grid(what: str, label: LabelMap, shape_ijk: Shape, affine: Affine) -> LabelMap:
    """The same label map on exactly the grid of its scan.

    Args:
        what: names the label in messages, e.g. "The label of image 'a'".
        label: as read from its file.
        shape_ijk: of the scan.
        affine: of the scan, ``_ijk`` to ``_ras`` mm; one that a reader gave also holds the file's other transforms.

    Raises:
        GeometryMismatch: if its voxels do not coincide with the scan's, it is cut or padded and is no segmentation of
            Slicer, paint lies outside the scan, or the scan's two transforms put it on different voxels.
    """
    fit = _the_fit(what, label, shape_ijk, affine)
    turned = np.transpose(label.values, np.argsort(fit.axes))
    turned = turned[tuple(slice(None, None, sign) for _, sign in sorted(zip(fit.axes, fit.signs, strict=True)))]
    if fit.start == (0, 0, 0) and fit.shape == shape_ijk:
        values = np.ascontiguousarray(turned)
    else:
        values = _pasted(what, turned, fit.start, shape_ijk)
    return replace(label, values=values, affine=affine)


def _the_fit(what: str, label: LabelMap, shape_ijk: Shape, affine: Affine) -> _Fit:
    source = scan_affine.source_of(affine, shape_ijk)
    places = [affine] if source is None else [affine, *source.other_affines]
    found = [fit for place in places if (fit := _fit(place, label)) is not None]
    fits = [fit for fit in found if _is_whole(fit, shape_ijk) or _is_cut(fit, label)]
    if not fits:
        raise GeometryMismatch(_apart(what, label, shape_ijk, affine))
    if len(set(fits)) == 1:
        return fits[0]
    if _has_both_forms(label, source):
        return _Fit((0, 1, 2), (1, 1, 1), (0, 0, 0), shape_ijk)
    raise GeometryMismatch(
        f"{what} lies on different voxels by the scan's sform and by its qform, and nothing says which one it follows. "
        "Save it on the scan's own grid with both of the scan's transforms in its header, or make the scan's two "
        "transforms equal."
    )


def _is_whole(fit: _Fit, shape_ijk: Shape) -> bool:
    return fit.start == (0, 0, 0) and fit.shape == shape_ijk


def _is_cut(fit: _Fit, label: LabelMap) -> bool:
    """Whether a label that covers only a part of the scan was saved so on purpose, as 3D Slicer cuts it to its paint.

    Slicer's file gives the voxel of the scan at which the label starts. Where it gives none (0 0 0 counts as none), the
    paint must touch all six faces of the label. A label of another scan with voxels of the same size, or an array that
    was cut without a change of its affine, meets neither condition.
    """
    if not label.is_segmentation:
        return False
    if label.offset_ijk is not None and any(label.offset_ijk):
        return fit.start == label.offset_ijk
    faces = [label.values.take(end, axis=axis) for axis in range(3) for end in (0, -1)]
    return all(face.any() for face in faces)


def _fit(place: Affine, label: LabelMap) -> _Fit | None:
    """The fit at one placement of the scan; None where voxels do not coincide."""
    if not geometry.is_invertible(place) or not geometry.is_invertible(label.affine):
        return None
    to_scan = np.linalg.inv(place) @ label.affine
    axes = tuple(int(axis) for axis in np.abs(to_scan[:3, :3]).argmax(axis=0))
    if sorted(axes) != [0, 1, 2]:
        return None
    whole = np.zeros((4, 4))
    whole[axes, (0, 1, 2)] = np.sign(to_scan[axes, (0, 1, 2)])
    whole[:3, 3] = np.rint(to_scan[:3, 3])
    whole[3, 3] = 1.0
    corners = geometry.corners_ijk(label.values.shape)
    exact, rounded = geometry.ijk_to_ras(corners, to_scan), geometry.ijk_to_ras(corners, whole)
    if not np.abs(exact - rounded).max() <= geometry.GRID_TOLERANCE_VOXELS:
        return None
    first, last = rounded.min(axis=0).astype(int), rounded.max(axis=0).astype(int)
    signs = whole[axes, (0, 1, 2)].astype(int)
    return _Fit(
        axes=(axes[0], axes[1], axes[2]),
        signs=(int(signs[0]), int(signs[1]), int(signs[2])),
        start=(int(first[0]), int(first[1]), int(first[2])),
        shape=(int(last[0] - first[0]) + 1, int(last[1] - first[1]) + 1, int(last[2] - first[2]) + 1),
    )


def _has_both_forms(label: LabelMap, source: scan_affine.SourceGeometry | None) -> bool:
    """Whether the label's header has both of the scan's transforms, so that all programs agree on its voxels."""
    own = scan_affine.source_of(label.affine, label.values.shape)
    if own is None or source is None or own.shape_ijk != source.shape_ijk:
        return False
    pairs = zip(own.other_affines, source.other_affines, strict=False)
    return len(own.other_affines) == len(source.other_affines) and all(
        geometry.grid_gap_voxels(own.shape_ijk, mine, theirs) <= geometry.GRID_TOLERANCE_VOXELS
        for mine, theirs in pairs
    )


def _pasted(
    what: str, turned: UInt16[np.ndarray, "a b c"], start: Shape, shape_ijk: Shape
) -> UInt16[np.ndarray, "i j k"]:
    """The label on the whole grid of the scan; voxels outside the scan must be empty."""
    values = np.zeros(shape_ijk, dtype=np.uint16)
    low = np.maximum(start, 0)
    high = np.maximum(np.minimum(np.add(start, turned.shape), shape_ijk), low)
    inside = turned[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
    lost = int(np.count_nonzero(turned)) - int(np.count_nonzero(inside))
    if lost:
        raise GeometryMismatch(
            f"{what}: {lost} of its painted voxels lie outside the scan of {_size(shape_ijk)} voxels. "
            "Save it for this scan, within the scan's bounds."
        )
    values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = inside
    return values


def _apart(what: str, label: LabelMap, shape_ijk: Shape, affine: Affine) -> str:
    """The sentence of the error, with the figures that differ."""
    if sorted(label.values.shape) != sorted(shape_ijk):
        differs = f"has shape {label.values.shape}, the scan {shape_ijk}"
    else:
        here = geometry.ijk_to_ras(geometry.corners_ijk(shape_ijk), affine)
        there = geometry.ijk_to_ras(geometry.corners_ijk(label.values.shape), label.affine)
        gap_mm = max(float(np.linalg.norm(there - corner, axis=1).min()) for corner in here)
        own, scan = (" x ".join(f"{mm:.4g}" for mm in geometry.spacing_mm(one)) for one in (label.affine, affine))
        differs = (
            f"has voxels of {own} mm, the scan of {scan} mm, and its corners lie up to {gap_mm:.3g} mm from the "
            f"scan's; at most {geometry.GRID_TOLERANCE_VOXELS:g} of a voxel is allowed"
        )
    return f"{what} lies on another grid than its scan: it {differs}. Save it on the scan's own grid."


def _size(shape_ijk: Shape) -> str:
    return " x ".join(map(str, shape_ijk))
