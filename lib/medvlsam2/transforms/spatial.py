"""The one crossing between a scan's own grid and the model's slice grid.

Model grid: ``_dhw`` with d from feet to head, h from front to back, w from the patient's right to left, i.e. an axial
slice as radiologists view it. A slice is a native slice of the scan (no resampling along d); in plane a square round
the body is cropped (padded with air where it leaves the scan) and resized to the model's input side. Everything that
is needed to go there and back, for voxels, masks, clicks and boxes, is in one :class:`SpatialRecord`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer, Num
from torch import Tensor

from medvlsam2 import geometry, voxel_box
from medvlsam2.data.volume import HU_MIN
from medvlsam2.errors import GeometryMismatch, InvalidPrompt
from medvlsam2.pixel_grid import from_crop, index_at, is_inside, offset_of, pixel_under, rescaled, to_crop
from medvlsam2.transforms.guided import guided_upsample
from medvlsam2.voxel_box import BoxIJK, PointIJK

Crop = tuple[int, int, int, int]
"""First row, end row, first column, end column, in voxels of the oriented scan."""

Edges = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Where something begins and ends along d, h and w, as distances in pixels from the grid's first edge."""


@dataclass(frozen=True)
class GridBox:
    """A box on the model grid: slices ``first`` to ``last`` (both inside), edges in continuous slice pixels."""

    first: int
    last: int
    xyxy: tuple[float, float, float, float]

    def edges_on(self, mask_size: int, side: int) -> Edges:
        """The same box on a grid of ``mask_size`` pixels over slices of ``side`` pixels."""
        x0, y0, x1, y1 = (offset_of(edge) * mask_size / side for edge in self.xyxy)
        return (float(self.first), self.last + 1.0), (y0, y1), (x0, x1)


@dataclass(frozen=True)
class SpatialRecord:
    """How a scan's voxels map to the model's slice grid.

    Args:
        source_shape_ijk: shape of the scan.
        source_affine: its affine, ``_ijk`` to ``_ras``.
        axes: for d, h, w the array axis of the scan that runs along it.
        flips: for d, h, w whether that array axis runs against it.
        crop_hw: first row, end row, first column, end column of the crop, in voxels of the oriented scan; may be
            negative or beyond the scan.
        side: side of the model's square slices in pixels.
    """

    source_shape_ijk: tuple[int, int, int]
    source_affine: Float[np.ndarray, "4 4"]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    crop_hw: Crop
    side: int

    @property
    def oriented_shape_dhw(self) -> tuple[int, int, int]:
        """Shape of the scan after turning, before the crop."""
        d, h, w = (self.source_shape_ijk[axis] for axis in self.axes)
        return d, h, w

    @property
    def num_slices(self) -> int:
        """Number of slices along d; each is a native slice."""
        return self.oriented_shape_dhw[0]

    @property
    def slice_spacing_mm(self) -> float:
        """Distance between slices."""
        return geometry.spacing_mm(self.source_affine)[self.axes[0]]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a model pixel."""
        spacing = geometry.spacing_mm(self.source_affine)
        scale_h, scale_w = self._scale_hw()
        return spacing[self.axes[1]] * scale_h, spacing[self.axes[2]] * scale_w

    def orient(self, array: Num[np.ndarray, "i j k"]) -> Num[np.ndarray, "d h w"]:
        """A view of an array on the scan's grid, turned to d, h, w."""
        self._require_source_shape(array.shape)
        turned = np.transpose(array, self.axes)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def unorient(self, array: Num[np.ndarray, "d h w"]) -> Num[np.ndarray, "i j k"]:
        """The inverse of :meth:`orient`; a view of ``array`` as well."""
        turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return np.transpose(turned, tuple(np.argsort(self.axes)))

    def source_slice(self, d: int) -> int:
        """Index of a model slice along the scan's own slice axis."""
        return self.num_slices - 1 - d if self.flips[0] else d

    def ijk_to_dhw(self, points_ijk: Num[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Continuous model-grid positions of voxel indices; integers are pixel centres on both sides."""
        points = np.asarray(points_ijk, dtype=np.float64)[:, list(self.axes)]
        for column, (flip, size) in enumerate(zip(self.flips, self.oriented_shape_dhw, strict=True)):
            if flip:
                points[:, column] = size - 1 - points[:, column]
        for column, first, scale in zip((1, 2), (self.crop_hw[0], self.crop_hw[2]), self._scale_hw(), strict=True):
            points[:, column] = to_crop(points[:, column], first, scale)
        return points

    def dhw_to_ijk(self, points_dhw: Num[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """The inverse of :meth:`ijk_to_dhw`."""
        points = np.array(points_dhw, dtype=np.float64)
        for column, first, scale in zip((1, 2), (self.crop_hw[0], self.crop_hw[2]), self._scale_hw(), strict=True):
            points[:, column] = from_crop(points[:, column], first, scale)
        for column, (flip, size) in enumerate(zip(self.flips, self.oriented_shape_dhw, strict=True)):
            if flip:
                points[:, column] = size - 1 - points[:, column]
        return points[:, np.argsort(self.axes)]

    def mask_to_ijk(self, points_dhw: Num[np.ndarray, "n 3"], mask_size: int) -> Float[np.ndarray, "n 3"]:
        """Continuous voxel indices of positions on a grid over the same slices with ``mask_size`` pixels a side."""
        points = np.array(points_dhw, dtype=np.float64)
        points[:, 1:] = rescaled(points[:, 1:], self.side / mask_size)
        return self.dhw_to_ijk(points)

    def ijk_to_mask(self, points_ijk: Num[np.ndarray, "n 3"], mask_size: int) -> Float[np.ndarray, "n 3"]:
        """The inverse of :meth:`mask_to_ijk`."""
        points = self.ijk_to_dhw(points_ijk)
        points[:, 1:] = rescaled(points[:, 1:], mask_size / self.side)
        return points

    def click_to_grid(self, point_ijk: PointIJK, name: str) -> tuple[int, float, float]:
        """Slice, x and y of a click.

        Raises:
            InvalidPrompt: if the click is outside the scan.
        """
        size = self.source_shape_ijk
        if not voxel_box.is_in_scan(point_ijk, size):
            shown = tuple(round(float(p), 1) for p in point_ijk)
            raise InvalidPrompt(
                f"{name} at voxel {shown} lies outside the volume of shape {size}. "
                f"Allowed are indices from (0, 0, 0) to {tuple(s - 1 for s in size)}."
            )
        d, h, w = self.ijk_to_dhw(np.array([point_ijk], dtype=np.float64))[0]
        return int(np.clip(round(d), 0, self.num_slices - 1)), float(w), float(h)

    def in_crop(self, x: float, y: float) -> bool:
        """Whether a position on a slice lies in what the model sees."""
        return is_inside(x, self.side) and is_inside(y, self.side)

    def box_to_grid(self, box_ijk: BoxIJK) -> GridBox:
        """A half-open voxel box on the model grid.

        Args:
            box_ijk: not empty and inside the scan, as ``ObjectPrompt.cut_to`` makes the boxes of annotators.
        """
        corners = self.ijk_to_dhw(index_at(np.array([box_ijk[0::2], box_ijk[1::2]])))
        low, high = corners.min(axis=0), corners.max(axis=0)
        # slices whose centres lie in the box; its edges lie between slices, but for rounding
        first, last = int(np.ceil(low[0])), int(np.floor(high[0] - 1e-9))
        return GridBox(first, last, (float(low[2]), float(low[1]), float(high[2]), float(high[1])))

    def resize_slices(self, oriented: Num[Tensor, "n h w"]) -> Float[Tensor, "n s s"]:
        """Crop, pad with air and resize oriented slices of HU (antialiased)."""
        cropped = self._crop(oriented.float(), fill=float(HU_MIN))
        return F.interpolate(
            cropped[:, None],
            size=(self.side, self.side),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )[:, 0]

    def resize_labels(self, oriented: Integer[np.ndarray, "n h w"], side: int) -> Integer[np.ndarray, "n s s"]:
        """Crop, pad with 0 and sample label slices at pixel centres of a grid of ``side`` pixels."""
        rows, columns = (
            pixel_under(np.arange(side), side, end - first) + first
            for first, end in (self.crop_hw[:2], self.crop_hw[2:])
        )
        _, height, width = oriented.shape
        sampled = oriented[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)]
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
        return np.where(inside, sampled, 0).astype(oriented.dtype)

    def paste(
        self, slice_logits: Float[Tensor, "m m"], slice_hu: Float[Tensor, "h w"], best: Float[Tensor, "h w"]
    ) -> Bool[Tensor, "h w"]:
        """Raise the best logits of a whole slice to those found in the crop, and say where.

        Args:
            slice_logits: of one object on one slice, on its mask grid.
            slice_hu: the whole slice of the scan, whose edges the mask follows.
            best: highest logits of all objects so far, on the whole slice; changed in place.

        Returns:
            The pixels that this object wins.
        """
        r0, r1, c0, c1 = self.crop_hw
        height, width = best.shape
        full = guided_upsample(slice_logits.float(), self._crop(slice_hu[None], fill=float(HU_MIN))[0])
        rows, columns = slice(max(r0, 0), min(r1, height)), slice(max(c0, 0), min(c1, width))
        part = full[rows.start - r0 : rows.stop - r0, columns.start - c0 : columns.stop - c0]
        higher = torch.zeros_like(best, dtype=torch.bool)
        higher[rows, columns] = part > best[rows, columns]
        best[rows, columns] = torch.maximum(best[rows, columns], part)
        return higher

    def _crop(self, oriented: Float[Tensor, "n h w"], *, fill: float) -> Float[Tensor, "n ch cw"]:
        r0, r1, c0, c1 = self.crop_hw
        _, height, width = oriented.shape
        inside = oriented[:, max(r0, 0) : min(r1, height), max(c0, 0) : min(c1, width)]
        padding = (max(-c0, 0), max(c1 - width, 0), max(-r0, 0), max(r1 - height, 0))
        return F.pad(inside, padding, value=fill)

    def _scale_hw(self) -> tuple[float, float]:
        r0, r1, c0, c1 = self.crop_hw
        return (r1 - r0) / self.side, (c1 - c0) / self.side

    def _require_source_shape(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != self.source_shape_ijk:
            raise GeometryMismatch(
                f"Array of shape {tuple(shape)} is not on the scan's grid of shape {self.source_shape_ijk}."
            )
