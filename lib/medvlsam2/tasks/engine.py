"""One model per device, shared by all requests, and what it has already seen of recent scans.

Constructing an engine loads nothing: weights come with the first question, and again when the folder's current
version changes, so a fine-tuned version answers the very next request. Lock order: ``Engine.lock`` guards model,
sessions and the device; it is held for one whole task and never taken by code that the engine calls.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidConfig
from medvlsam2.model import checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.tasks.session import VolumeSession

KEPT_SESSIONS = 2


class Engine:
    """Answers questions about scans with one model.

    Args:
        model_dir: model folder (see :mod:`medvlsam2.model.checkpoint`).
        device: "cpu", "cuda", "cuda:1" …, or "auto".

    Raises:
        InvalidConfig: if the device is not there.
    """

    def __init__(self, model_dir: Path, device: str = "cpu") -> None:
        self.model_dir = Path(model_dir)
        self.device = _device(device)
        self.lock = threading.RLock()
        self._loaded: LoadedModel | None = None
        self._sessions: OrderedDict[str, VolumeSession] = OrderedDict()

    @property
    def model_id(self) -> str:
        """Name of the model: its folder's."""
        return self.model_dir.name

    @property
    def version(self) -> str:
        """Version that answers the next request."""
        return checkpoint.current_version(self.model_dir)

    def loaded(self) -> LoadedModel:
        """The model, read on first use and whenever another version became current.

        Raises:
            MissingCheckpoint, CheckpointMismatch: if the folder does not hold a whole, fitting model.
        """
        with self.lock:
            if self._loaded is None or self._loaded.version != self.version:
                self._sessions.clear()
                self._loaded = checkpoint.load(self.model_dir, self.device)
            return self._loaded

    def session(self, volume: CTVolume) -> VolumeSession:
        """What is kept of a scan, by its content; the scans asked about last are kept."""
        with self.lock:
            loaded = self.loaded()
            key = volume.content_hash
            if key not in self._sessions:
                self._sessions[key] = VolumeSession(loaded, volume, self.device)
            self._sessions.move_to_end(key)
            while len(self._sessions) > KEPT_SESSIONS:
                self._sessions.popitem(last=False)
            return self._sessions[key]

    def precision(self) -> AbstractContextManager[object]:
        """Autocast for one task: bfloat16 on a GPU that has it, full precision on a CPU."""
        if self.device.startswith("cuda") and torch.cuda.is_bf16_supported():
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return contextlib.nullcontext()


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise InvalidConfig(f"Device '{device}' given; allowed are cpu, cuda, cuda:N and auto.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InvalidConfig(f"Device '{device}' given, but this machine has no usable GPU. Use cpu or auto.")
    return device
