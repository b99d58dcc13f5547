"""Slice features of scans: made when first needed, kept in bfloat16 in memory up to a budget, and on disk beyond it.

A row holds all levels of one slice. When the budget is used up, the rows of the scans that were used longest ago move
to a file of their own. If there are no such rows, new rows go to the file at once. Rows are read back bit for bit, and
even a row that was just made is read back before use, so a result does not depend on where its features were kept. The
rows of a scan share one block of memory, of which the system provides the pages as they are used: many small blocks
would leave gaps in memory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Final

import torch
from jaxtyping import BFloat16, Int
from torch import Tensor

from medvlsam2.model.device.memory_limit import in_parts
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures

ENCODE_BATCH: Final = 8
"""Slices that are encoded together, if more than one is wanted …"""
CPU_BATCH_PIXELS: Final = 2**18
"""… and on a CPU at most as many as have so many pixels in all: larger batches take memory and are no faster."""
KEPT_STORES: Final = 64
"""Views of scans whose features are kept; older ones are forgotten, their files too."""

Encode = Callable[[Sequence[int]], SliceFeatures]
Row = BFloat16[Tensor, " values"]


def encode_batch(device: torch.device, side: int) -> int:
    """How many slices with sides of ``side`` pixels are encoded together."""
    return ENCODE_BATCH if device.type != "cpu" else max(1, min(ENCODE_BATCH, CPU_BATCH_PIXELS // side**2))


class FeatureCache:
    """Feature stores of recent scans, which share one budget.

    Args:
        budget_bytes: how much memory all rows together may take; the rest goes to disk.
        folder: where files go; by default the system's place for temporary files.
    """

    def __init__(self, budget_bytes: int, folder: Path | None = None) -> None:
        self.budget_bytes = budget_bytes
        self.lock = threading.RLock()
        self._folder = Path(tempfile.mkdtemp(prefix="medvlsam2-features-", dir=folder))
        # No cachetools.LRUCache: make_room walks through the stores from the one used longest ago, without using them.
        self._stores: OrderedDict[Hashable, FeatureStore] = OrderedDict()
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def used_bytes(self) -> int:
        """Memory that all rows take."""
        return sum(store.memory_bytes for store in self._stores.values())

    @property
    def spilled_bytes(self) -> int:
        """What all rows together take on disk."""
        return sum(store.spilled_bytes for store in self._stores.values())

    def has_room(self, size_bytes: int) -> bool:
        """Whether so many bytes more fit into the budget."""
        return self.used_bytes + size_bytes <= self.budget_bytes

    def store(
        self, key: Hashable, num_slices: int, encode: Encode, device: torch.device, *, batch: int = ENCODE_BATCH
    ) -> FeatureStore:
        """The store of a view of a scan in a window; it becomes the one that was used last.

        Args:
            key: all that the features depend on: content, window, size, weights of the encoder.
            num_slices: slices of the scan.
            encode: makes the features of some slices.
            device: where features are used.
            batch: slices that are encoded at once.
        """
        with self.lock:
            if key not in self._stores:
                path = self._folder / f"{len(os.listdir(self._folder))}-{abs(hash(key)):x}.bin"
                self._stores[key] = FeatureStore(self, num_slices, encode, device, path=path, batch=batch)
            self._stores.move_to_end(key)
            while len(self._stores) > KEPT_STORES:
                self._stores.popitem(last=False)[1].forget()
            found = self._stores[key]
            found.encode = encode
            return found

    def make_room(self, size_bytes: int, keeper: FeatureStore) -> bool:
        """Move older stores to disk until a new row fits into memory; whether it fits."""
        for store in list(self._stores.values()):
            if self.has_room(size_bytes):
                break
            if store is not keeper:
                store.spill()
        return self.has_room(size_bytes)

    def close(self) -> None:
        """Forget everything and remove the files."""
        with self.lock:
            for store in self._stores.values():
                store.forget()
            self._stores.clear()
            self._remove()


class FeatureStore:
    """Features of one scan in one window, as propagation takes them (see :class:`SliceSource`).

    Args:
        cache: whose budget it shares.
        num_slices: slices of the scan.
        encode: makes the features of some slices.
        device: where features are used.
        path: file for rows that memory has no room for.
        batch: slices that are encoded at once, where more than one is wanted.
    """

    def __init__(
        self, cache: FeatureCache, num_slices: int, encode: Encode, device: torch.device, *, path: Path, batch: int
    ) -> None:
        self.encode = encode
        self.device = device
        self._cache = cache
        self._num_slices = num_slices
        self._path = path
        self._batch = batch
        self._memory: BFloat16[Tensor, "slots values"] = torch.empty(0, 0, dtype=torch.bfloat16)
        self._slots: dict[int, int] = {}
        self._on_disk: set[int] = set()
        self._shapes: tuple[torch.Size, ...] = ()

    def __len__(self) -> int:
        return self._num_slices

    @property
    def memory_bytes(self) -> int:
        """Memory that the rows take."""
        return len(self._slots) * self._row_bytes

    @property
    def spilled_bytes(self) -> int:
        """What rows take on disk."""
        return len(self._on_disk) * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return 2 * sum(shape.numel() for shape in self._shapes)

    @property
    def known_slices(self) -> set[int]:
        """Slices whose features need not be made."""
        return self._on_disk | self._slots.keys()

    def select(self, index: Int[Tensor, " b"]) -> SliceFeatures:
        """Features of the slices at ``index``; those that are not kept are made now."""
        numbers = [int(number) for number in index]
        with self._cache.lock:
            self._ensure(numbers)
            rows = {number: self._read(number) for number in dict.fromkeys(numbers)}
        return self._unpacked([rows[number] for number in numbers])

    def make_more(self) -> bool:
        """Make one batch of missing slices, near those that are kept; False if none is missing or memory is full."""
        with self._cache.lock:
            if not self.known_slices or not self._cache.has_room(self._batch * self._row_bytes):
                return False
            missing = self._with_neighbours([])
            in_parts(self._make, missing, self._batch)
            return bool(missing)

    def spill(self) -> None:
        """Move every row to disk."""
        with self._cache.lock:
            for number, slot in self._slots.items():
                self._write(number, self._memory[slot])
            self._leave_memory()

    def forget(self) -> None:
        """Drop every row and the file."""
        with self._cache.lock:
            self._leave_memory()
            self._on_disk.clear()
            self._path.unlink(missing_ok=True)

    def _ensure(self, numbers: Sequence[int]) -> None:
        """Make missing slices. The first slice of a scan is made alone, because somebody waits for it."""
        missing = sorted(set(numbers) - self.known_slices)
        if missing and self.known_slices:
            missing = self._with_neighbours(missing)
        in_parts(self._make, missing, self._batch)

    def _make(self, batch: Sequence[int]) -> None:
        features = self.encode(batch)
        self._shapes = tuple(level.shape[1:] for level in features.levels)
        flat = torch.cat([level.flatten(1) for level in features.levels], dim=1).to("cpu", torch.bfloat16)
        for number, row in zip(batch, flat, strict=True):
            self._keep(number, row)

    def _with_neighbours(self, missing: Sequence[int]) -> list[int]:
        """Fill the last batch up with the nearest other missing slices: propagation needs them soon."""
        room = -len(missing) % self._batch if missing else self._batch
        others = sorted(set(range(self._num_slices)) - self.known_slices - set(missing))
        near = list(missing) or list(self.known_slices)
        nearest = sorted(others, key=lambda number: min(abs(number - wanted) for wanted in near))
        return sorted([*missing, *nearest[:room]])

    def _keep(self, number: int, row: Row) -> None:
        if not self._cache.make_room(row.nbytes, self):
            self._write(number, row)
            return
        if not len(self._memory):
            slots = min(self._num_slices, self._cache.budget_bytes // row.nbytes)
            self._memory = torch.empty(slots, row.numel(), dtype=torch.bfloat16)
        slot = self._slots.setdefault(number, len(self._slots))
        self._memory[slot] = row

    def _leave_memory(self) -> None:
        self._slots.clear()
        self._memory = torch.empty(0, 0, dtype=torch.bfloat16)

    def _read(self, number: int) -> Row:
        if number in self._slots:
            return self._memory[self._slots[number]]
        size = self._row_bytes
        with self._path.open("rb") as file:
            file.seek(number * size)
            return torch.frombuffer(bytearray(file.read(size)), dtype=torch.bfloat16)

    def _write(self, number: int, row: Row) -> None:
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.seek(number * row.nbytes)
            file.write(row.contiguous().view(torch.uint8).numpy().tobytes())
        self._on_disk.add(number)

    def _unpacked(self, rows: Sequence[Row]) -> SliceFeatures:
        flat = torch.stack(list(rows)).to(self.device)
        if self.device.type == "cpu":
            flat = flat.float()
        parts = torch.split(flat, [shape.numel() for shape in self._shapes], dim=1)
        embedding, high_res_1, high_res_0 = (
            part.reshape(len(rows), *shape) for part, shape in zip(parts, self._shapes, strict=True)
        )
        return SliceFeatures(embedding=embedding, high_res_0=high_res_0, high_res_1=high_res_1)
