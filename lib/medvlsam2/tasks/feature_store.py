"""Slice features of scans, made when first asked for, kept in bfloat16 within a budget, and on disk beyond it.

A row holds all levels of one slice. Rows of the scan in use stay in memory as long as the budget allows; rows of scans
that were used longest ago make way first, to a file of their own, and so do new rows where nothing is left to make
way. What is read back is bit for bit what was kept, and what was just made is read back too, so a result does not
depend on where its features lay.
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

from medvlsam2.model.memory_limit import in_parts
from medvlsam2.model.volume_sam2 import SliceFeatures

ENCODE_BATCH: Final = 8
"""Slices that are encoded at once, where more than one is wanted."""
KEPT_STORES: Final = 64
"""Views of scans whose features are kept; older ones are forgotten, their files too."""

Encode = Callable[[Sequence[int]], SliceFeatures]
Row = BFloat16[Tensor, " values"]


class FeatureCache:
    """Feature stores of recent scans, sharing one budget.

    Args:
        budget_bytes: how much memory all rows together may take; the rest goes to disk.
        folder: where files go; by default the system's place for temporary files.
    """

    def __init__(self, budget_bytes: int, folder: Path | None = None) -> None:
        self.budget_bytes = budget_bytes
        self.lock = threading.RLock()
        self._folder = Path(tempfile.mkdtemp(prefix="medvlsam2-features-", dir=folder))
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
        """Whether so much fits into memory beside all that is there."""
        return self.used_bytes + size_bytes <= self.budget_bytes

    def store(self, key: Hashable, num_slices: int, encode: Encode, device: torch.device) -> FeatureStore:
        """The store of a scan in a window; the newest use counts.

        Args:
            key: all that the features depend on: content, window, size, weights of the encoder.
            num_slices: slices of the scan.
            encode: makes the features of some slices.
            device: where features are used.
        """
        with self.lock:
            if key not in self._stores:
                path = self._folder / f"{len(os.listdir(self._folder))}-{abs(hash(key)):x}.bin"
                self._stores[key] = FeatureStore(self, num_slices, encode, device, path)
            self._stores.move_to_end(key)
            while len(self._stores) > KEPT_STORES:
                self._stores.popitem(last=False)[1].forget()
            found = self._stores[key]
            found.encode = encode
            return found

    def make_room(self, size_bytes: int, keeper: FeatureStore) -> bool:
        """Whether a new row fits into memory, after older stores have made way."""
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
    """

    def __init__(self, cache: FeatureCache, num_slices: int, encode: Encode, device: torch.device, path: Path) -> None:
        self.encode = encode
        self.device = device
        self._cache = cache
        self._num_slices = num_slices
        self._path = path
        self._rows: dict[int, Row] = {}
        self._on_disk: set[int] = set()
        self._shapes: tuple[torch.Size, ...] = ()

    def __len__(self) -> int:
        return self._num_slices

    @property
    def memory_bytes(self) -> int:
        """Memory that the rows take."""
        return sum(row.nbytes for row in self._rows.values())

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
        return self._on_disk | self._rows.keys()

    def select(self, index: Int[Tensor, " b"]) -> SliceFeatures:
        """Features of the slices at ``index``; made now where nobody asked for them before."""
        numbers = [int(number) for number in index]
        with self._cache.lock:
            self._ensure(numbers)
            rows = {number: self._read(number) for number in dict.fromkeys(numbers)}
        return self._unpacked([rows[number] for number in numbers])

    def make_more(self) -> bool:
        """Make one batch of what is missing, near what is there; whether there is more, and memory for it."""
        with self._cache.lock:
            if not self.known_slices or not self._cache.has_room(ENCODE_BATCH * self._row_bytes):
                return False
            missing = self._with_neighbours([])
            in_parts(self._make, missing, ENCODE_BATCH)
            return bool(missing)

    def spill(self) -> None:
        """Move every row to disk."""
        with self._cache.lock:
            for number in list(self._rows):
                self._write(number, self._rows.pop(number))

    def forget(self) -> None:
        """Drop every row and the file."""
        with self._cache.lock:
            self._rows.clear()
            self._on_disk.clear()
            self._path.unlink(missing_ok=True)

    def _ensure(self, numbers: Sequence[int]) -> None:
        """Make what is missing. The first slice of a scan comes alone, since someone waits for it."""
        missing = sorted(set(numbers) - self.known_slices)
        if missing and self.known_slices:
            missing = self._with_neighbours(missing)
        in_parts(self._make, missing, ENCODE_BATCH)

    def _make(self, batch: Sequence[int]) -> None:
        features = self.encode(batch)
        self._shapes = tuple(level.shape[1:] for level in features.levels)
        flat = torch.cat([level.flatten(1) for level in features.levels], dim=1).to("cpu", torch.bfloat16)
        for number, row in zip(batch, flat, strict=True):
            self._keep(number, row)

    def _with_neighbours(self, missing: Sequence[int]) -> list[int]:
        """Fill the last batch with the nearest other slices that are missing: propagation reaches them soon."""
        room = -len(missing) % ENCODE_BATCH if missing else ENCODE_BATCH
        others = sorted(set(range(self._num_slices)) - self.known_slices - set(missing))
        near = list(missing) or list(self.known_slices)
        nearest = sorted(others, key=lambda number: min(abs(number - wanted) for wanted in near))
        return sorted([*missing, *nearest[:room]])

    def _keep(self, number: int, row: Row) -> None:
        if self._cache.make_room(row.nbytes, self):
            self._rows[number] = row.clone()
        else:
            self._write(number, row)

    def _read(self, number: int) -> Row:
        if number in self._rows:
            return self._rows[number]
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
