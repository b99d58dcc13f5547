"""Where propagation takes slice features from: what is all in memory, or a store that makes them when asked for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures


@runtime_checkable
class SliceSource(Protocol):
    """Features of the slices of one volume."""

    @property
    def device(self) -> torch.device:
        """Where the features come to lie."""

    def select(self, index: Int[Tensor, " b"]) -> SliceFeatures:
        """Features of the slices at ``index``; one slice may be taken several times."""

    def __len__(self) -> int:
        """Slices of the volume."""
