"""A scan made ready for the model: slices for SAM 2 on demand, the whole volume for the 3-D encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from medvlsam2.data.volume import CTVolume
from medvlsam2.transforms.spatial import SpatialRecord, plan
from medvlsam2.transforms.window import Window, apply_window, normalise, scale_whole_volume


@dataclass(frozen=True)
class PreparedVolume:
    """A scan with its :class:`SpatialRecord`; nothing is resized before it is asked for."""

    volume: CTVolume
    record: SpatialRecord

    def hu_slices(self, numbers: Sequence[int]) -> Float[Tensor, "n s s"]:
        """Slices in HU on the model grid."""
        oriented = self.record.orient(self.volume.hu)[list(numbers)]
        return self.record.resize_slices(torch.from_numpy(np.ascontiguousarray(oriented)))

    def sam2_slices(
        self, numbers: Sequence[int], window: Window, *, neighbour_slices: bool
    ) -> Float[Tensor, "n 3 s s"]:
        """Normalised three-channel slices."""
        if not neighbour_slices:
            return three_channels(self.hu_slices(numbers)[:, None].expand(-1, 3, -1, -1), window)
        last = self.record.num_slices - 1
        needed = sorted({min(max(n + step, 0), last) for n in numbers for step in (-1, 0, 1)})
        hu = self.hu_slices(needed)
        rows = [[needed.index(min(max(n + step, 0), last)) for step in (-1, 0, 1)] for n in numbers]
        return three_channels(hu[torch.tensor(rows)], window)

    def whole_volume(self, size_dhw: tuple[int, int, int]) -> Float[Tensor, "1 1 d h w"]:
        """The whole scan, cropped to the body in plane, averaged down to the 3-D encoder's input."""
        numbers = range(self.record.num_slices)
        return whole_volume(self.hu_slices(list(numbers)), size_dhw)


def prepare(volume: CTVolume, side: int) -> PreparedVolume:
    """Plan the crossing for a scan; see :func:`medvlsam2.transforms.spatial.plan`."""
    return PreparedVolume(volume, plan(volume, side))


def three_channels(hu: Num[Tensor, "n 3 s s"], window: Window) -> Float[Tensor, "n 3 s s"]:
    """Window and normalise three-channel slices of HU."""
    return normalise(apply_window(hu, window))


def whole_volume(hu: Num[Tensor, "n s s"], size_dhw: tuple[int, int, int]) -> Float[Tensor, "1 1 d h w"]:
    """Scale slices of HU to 0..1 and average them to the 3-D encoder's input size."""
    return F.adaptive_avg_pool3d(scale_whole_volume(hu)[None, None], size_dhw)
