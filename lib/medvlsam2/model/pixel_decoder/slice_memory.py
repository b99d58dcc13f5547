"""SAM 2's memory of a batch of objects over the slices seen so far.

SAM 2 keys its memory by frame number. Here the objects of one batch may lie at different slices of the volume, so slice
numbers are RELATIVE: the first prompted slice of every object has the number ``origin``, and numbers grow in the
direction of propagation, up or down the volume. SAM 2's attention uses only distances, so a batch of objects and of
directions gives the same results as each object and direction alone. Prompted (conditioning) slices serve both
directions. Each other slice belongs to one direction, so the way up does not depend on the way down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

MemoryEntry = dict[str, Any]

KEPT_SLICES = 16
"""SAM 2 looks back over at most 6 spatial memories and 16 object pointers; older entries are dropped."""


@dataclass
class SliceMemory:
    """Memory entries by relative slice number.

    Args:
        origin: relative number of the first prompted slice; large enough that no number is negative.
    """

    origin: int
    conditioning: dict[int, MemoryEntry] = field(default_factory=dict)
    recent: dict[int, MemoryEntry] = field(default_factory=dict)

    @property
    def num_slices(self) -> int:
        """Upper bound of relative numbers, as sam2 asks for it."""
        return 2 * self.origin + 2 * KEPT_SLICES

    def output_dict(self) -> dict[str, dict[int, MemoryEntry]]:
        """In the form that ``sam2`` takes."""
        return {"cond_frame_outputs": self.conditioning, "non_cond_frame_outputs": self.recent}

    def add(self, index: int, entry: MemoryEntry) -> None:
        """Keep an unprompted slice and drop those that are out of reach."""
        self.recent[index] = entry
        for other in [i for i in self.recent if index - i > KEPT_SLICES]:
            del self.recent[other]

    def select(self, rows: Int[Tensor, " b"]) -> SliceMemory:
        """The memory of some objects of the batch; one may be taken several times."""
        return SliceMemory(
            self.origin,
            *(
                {index: _rows(entry, rows) for index, entry in entries.items()}
                for entries in (self.conditioning, self.recent)
            ),
        )

    def mirrored(self, length: int) -> SliceMemory:
        """The prompted slices alone, numbered for the other direction.

        Args:
            length: distance of the last prompted slice, which is the first one of the other direction.
        """
        ends = 2 * self.origin + length
        return SliceMemory(self.origin, {ends - index: entry for index, entry in self.conditioning.items()})


def _rows(entry: MemoryEntry, rows: Tensor) -> MemoryEntry:
    return {
        key: [item[rows] for item in value] if isinstance(value, list) else torch.as_tensor(value)[rows]
        for key, value in entry.items()
    }
