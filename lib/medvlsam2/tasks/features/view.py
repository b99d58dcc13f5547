"""One view of a scan: its slices, whole or an enlarged part of them, as the slice encoder gets them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch

from medvlsam2.data.structures.table import Window
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.device.precision import autocast
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, VolumeSAM2
from medvlsam2.tasks.features.box_masks import BoxMasks
from medvlsam2.tasks.features.feature_store import Encode, FeatureStore
from medvlsam2.transforms.prepare import PreparedVolume
from medvlsam2.transforms.spatial import SpatialRecord

Open = Callable[[Window, SpatialRecord, Encode], FeatureStore]
"""Opens the store of the features of a view in a window."""


class View:
    """One view of a scan by one model.

    Args:
        loaded: the model.
        prepared: the scan, and which part of its slices the view shows.
        device: where the model is.
        open_store: opens the place where features are kept; it must hold no reference to the view.
        box_masks: of all views of the scan.
    """

    def __init__(
        self, loaded: LoadedModel, prepared: PreparedVolume, device: str, open_store: Open, box_masks: BoxMasks
    ) -> None:
        self.prepared = prepared
        self.box_masks = box_masks
        self._loaded = loaded
        self._device = device
        self._open_store = open_store

    @property
    def record(self) -> SpatialRecord:
        """How the scan's voxels map to the view's pixels."""
        return self.prepared.record

    @property
    def sam2(self) -> VolumeSAM2:
        """The pixel decoder."""
        return self._loaded.model.sam2

    def features(self, window: Window) -> FeatureStore:
        """Slice features in one window; each slice is encoded when it is first asked for."""
        view = weakref.ref(self)

        def encode(numbers: Sequence[int]) -> SliceFeatures:
            seen = view()
            if seen is None:
                raise ReferenceError("The scan is no longer open.")
            return seen._encode(window, numbers)

        return self._open_store(window, self.record, encode)

    @torch.no_grad()
    def _encode(self, window: Window, numbers: Sequence[int]) -> SliceFeatures:
        """Always in one precision, because requests share the features."""
        slices = self.prepared.sam2_slices(numbers, window, self._loaded.config.sam2)
        with autocast(torch.device(self._device)):
            return self.sam2.encode_slices(slices.to(self._device))
