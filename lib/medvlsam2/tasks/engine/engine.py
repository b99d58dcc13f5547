"""One model on one device, which all requests share, with the sessions of recent scans.

Constructing an engine loads nothing. The first request loads the weights, and so does the first request after the
current version of the folder has changed; thus a fine-tuned version answers the very next request. Slice features are
kept across such a change if the slice encoder is the same.

Locks are taken in this order: the lease on the device, the guard of model and sessions, the lock of the feature cache.
Nobody who holds one of them waits for an earlier one.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from cachetools import LRUCache
from torch import nn

from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidConfig
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.device.cuda_graphs import CudaGraphs
from medvlsam2.model.device.precision import autocast, keep_as_cast, settle
from medvlsam2.tasks.engine.read_ahead import ReadAhead
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.features.feature_store import FeatureCache
from medvlsam2.tasks.scheduling.claims import Claims, Requests
from medvlsam2.tasks.scheduling.device_lock import DeviceLock

KEPT_SESSIONS: Final = 4
KEPT_QUERIES: Final = 256
"""Last questions that are remembered, one for each client and scan, so that the next one may refer to it."""
CACHE_SHARE: Final = 0.25
"""Share of the machine's memory that slice features may take by default."""
UNKNOWN_MEMORY_BYTES: Final = 16 * 2**30
"""Assumed memory of a machine that does not tell its size."""


class Engine:
    """Answers questions about scans with one model.

    Args:
        model_dir: model folder (see :mod:`medvlsam2.model.checkpoint`).
        device: "cpu", "cuda", "cuda:1" …, or "auto".
        cache_bytes: memory for slice features of all scans; by default a quarter of the machine's.
        uses_coronal_views: whether coronal slices are segmented as well, and both views fused.
        reads_ahead: whether the other slices of a scan in use are encoded in the background.
        cuda_graphs: whether a GPU runs steps of propagation as CUDA graphs.

    Raises:
        InvalidConfig: if the device is not there.
    """

    def __init__(
        self,
        model_dir: Path,
        device: str = "cpu",
        *,
        cache_bytes: int | None = None,
        uses_coronal_views: bool = False,
        reads_ahead: bool = False,
        cuda_graphs: bool = True,
    ) -> None:
        self.model_dir = Path(model_dir)
        self.device = _device(device)
        settle(torch.device(self.device))
        self.uses_coronal_views = uses_coronal_views
        self.cuda_graphs = cuda_graphs and self.device.startswith("cuda")
        self.device_lock = DeviceLock()
        self.claims = Claims()
        self.requests = Requests()
        self.read_ahead = ReadAhead(self.lease, self.requests) if reads_ahead else None
        self._cache_bytes = cache_bytes
        self._guard = threading.RLock()
        self._loaded: LoadedModel | None = None
        self._encoder = ""
        self._sessions: LRUCache[str, VolumeSession] = LRUCache(KEPT_SESSIONS)
        self.last_queries: LRUCache[tuple[Hashable, str], str] = LRUCache(KEPT_QUERIES)

    @property
    def model_id(self) -> str:
        """Name of the model: its folder's."""
        return self.model_dir.name

    @property
    def version(self) -> str:
        """Version that answers the next request."""
        return version_folders.current_version(self.model_dir)

    @cached_property
    def features(self) -> FeatureCache:
        """Slice features of recent scans."""
        default = int(CACHE_SHARE * machine_memory_bytes())
        return FeatureCache(default if self._cache_bytes is None else self._cache_bytes)

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Hold the device for one step, in bfloat16 if it supports that. Threads get it in the order of asking."""
        with self.device_lock.lease(), autocast(torch.device(self.device)):
            yield

    def loaded(self) -> LoadedModel:
        """The model, read on first use and whenever another version became current.

        Raises:
            MissingCheckpoint, CheckpointMismatch: if the folder does not hold a whole, fitting model.
        """
        with self._guard:
            if self._loaded is None or self._loaded.version != self.version:
                self._sessions.clear()
                self._loaded = checkpoint.load(self.model_dir, self.device)
                self._loaded.model.language.merge_adapter()
                sam2 = self._loaded.model.sam2
                if self.cuda_graphs:
                    sam2.run_with(CudaGraphs(torch.device(self.device)))
                encoder = sam2.image_encoder
                encoder.to(memory_format=torch.channels_last)
                self._encoder = weights_fingerprint(encoder)
                for part in (encoder, sam2.memory_attention, sam2.memory_encoder, sam2.sam_mask_decoder):
                    keep_as_cast(part, torch.device(self.device))
            return self._loaded

    def session(self, volume: CTVolume) -> VolumeSession:
        """The session of a scan, found by the scan's content. The sessions of the scans used last are kept."""
        with self._guard:
            loaded = self.loaded()
            key = volume.content_hash
            if key not in self._sessions:
                self._sessions[key] = VolumeSession(loaded, volume, self.device, self.features, self._encoder)
            return self._sessions[key]


def weights_fingerprint(module: nn.Module) -> str:
    """A hash of a module's weights: equal for equal weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def machine_memory_bytes() -> int:
    """Memory of this machine, or an assumed size if it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MEMORY_BYTES


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise InvalidConfig(f"Device '{device}' given; allowed are cpu, cuda, cuda:N and auto.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InvalidConfig(f"Device '{device}' given, but this machine has no usable GPU. Use cpu or auto.")
    return device
