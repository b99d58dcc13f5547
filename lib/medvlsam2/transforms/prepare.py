"""A scan made ready for the model: slices for SAM 2 on demand, the whole volume for the 3-D encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Num
from torch import Tensor

from medvlsam2.config import Sam2Config
from medvlsam2.data.structures.table import Window
from medvlsam2.data.volume import CTVolume
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.spatial import SpatialRecord
from medvlsam2.transforms.window import apply_window, normalise, scale_whole_volume

RESIZED_AT_ONCE: Final = 32


@dataclass(frozen=True)
class PreparedVolume:
    """A scan with its :class:`SpatialRecord`; nothing is resized before it is asked for."""

    volume: CTVolume
    record: SpatialRecord

    def hu_slices(self, numbers: Sequence[int]) -> Float[Tensor, "n s s"]:
        """Slices in HU on the model grid, resized some at a time, since whole scans are large as floats."""
        return torch.cat(list(self._hu_parts(numbers)))

    def pooled_hu(self, side: int) -> Float[Tensor, "n m m"]:
        """All slices in HU, averaged to a coarser grid."""
        return torch.cat([F.adaptive_avg_pool2d(part, side) for part in self._all_hu_parts()])

    def sam2_slices(self, numbers: Sequence[int], window: Window, config: Sam2Config) -> Float[Tensor, "n 3 s s"]:
        """Normalised three-channel slices."""
        rows = channel_slices(numbers, self.record.num_slices, self.record.slice_spacing_mm, config)
        needed = np.unique(rows)
        hu = self.hu_slices(needed.tolist())
        return three_channels(hu[torch.from_numpy(np.searchsorted(needed, rows))], window)

    def whole_volume(self, size_dhw: tuple[int, int, int]) -> Float[Tensor, "1 1 d h w"]:
        """The whole scan, cropped to the body in plane, averaged down to the 3-D encoder's input."""
        return whole_volume(self._all_hu_parts(), size_dhw)

    def _all_hu_parts(self) -> Iterator[Float[Tensor, "n s s"]]:
        return self._hu_parts(range(self.record.num_slices))

    def _hu_parts(self, numbers: Sequence[int]) -> Iterator[Float[Tensor, "n s s"]]:
        oriented = self.record.orient(self.volume.hu)
        for start in range(0, len(numbers), RESIZED_AT_ONCE):
            array = np.ascontiguousarray(oriented[list(numbers[start : start + RESIZED_AT_ONCE])])
            yield self.record.resize_slices(torch.from_numpy(array))


def channel_slices(
    numbers: Sequence[int] | Int[np.ndarray, " n"], num_slices: int, slice_spacing_mm: float, config: Sam2Config
) -> Int[np.ndarray, "n 3"]:
    """Which slices are the three channels of each slice: below, itself, above; or thrice itself.

    Args:
        numbers: slices of a scan.
        num_slices: slices that the scan has; beyond its ends the last one is repeated.
        slice_spacing_mm: distance between them.
        config: says how far away the neighbours are.
    """
    step = max(1, round(config.neighbour_mm / slice_spacing_mm)) if config.neighbour_slices else 0
    return np.clip(np.asarray(numbers)[:, None] + step * np.array([-1, 0, 1]), 0, num_slices - 1)


def prepare(volume: CTVolume, side: int) -> PreparedVolume:
    """Plan the crossing for a scan; see :func:`medvlsam2.transforms.framing.plan`."""
    return PreparedVolume(volume, plan(volume, side))


def three_channels(hu: Num[Tensor, "n 3 s s"], window: Window) -> Float[Tensor, "n 3 s s"]:
    """Window and normalise three-channel slices of HU."""
    return normalise(apply_window(hu, window))


def whole_volume(
    hu_parts: Iterable[Num[Tensor, "n s s"]], size_dhw: tuple[int, int, int]
) -> Float[Tensor, "1 1 d h w"]:
    """Scale slices of HU to 0..1 and average them to the 3-D encoder's input size.

    Args:
        hu_parts: all slices in order, some at a time.
        size_dhw: that size.
    """
    depth, height, width = size_dhw
    in_plane = torch.cat([F.adaptive_avg_pool2d(scale_whole_volume(part), (height, width)) for part in hu_parts])
    return F.adaptive_avg_pool1d(in_plane.flatten(1).T, depth).T.reshape(1, 1, *size_dhw)
