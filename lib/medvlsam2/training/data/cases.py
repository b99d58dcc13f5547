"""A scan as training reads it: arrays that lie ready on the disk, and what its labels say of each structure.

The arrays are memory-mapped, so that no step waits for gzip or resampling; :mod:`medvlsam2.training.data.case_files`
writes them. A structure in ``keys`` was contoured in this scan, so slices without it are true negatives. A structure
that is not in ``keys`` may be there all the same: it is never used as a negative, except where ``facts.absent`` lists
it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int16, Num, UInt8
from torch import Tensor

from medvlsam2.config import Sam2Config
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.labels import wholes
from medvlsam2.errors import DatasetError
from medvlsam2.transforms.prepare import channel_slices

CACHE_VERSION = 3
COMPLETE_KEYS = 20
"""A scan with this many contoured structures has contours of all that is visible of their kinds.

Data sets of whole anatomies (TotalSegmentator: 104 structures) contour every visible vertebra; those of few organs
contour some."""


@dataclass(frozen=True)
class Case:
    """One cached scan."""

    folder: Path
    case_id: str
    keys: tuple[str, ...]
    """Vocabulary key of label value n at position n - 1."""
    facts: ScanFacts | None
    """What is known of it; None where too little is known to talk about it."""
    is_phantom: bool
    slice_spacing_mm: float
    """Distance of neighbouring slices of ``hu`` and ``labels``."""

    @cached_property
    def hu(self) -> Int16[np.ndarray, "d s s"]:
        """Hounsfield units on the model grid."""
        array: np.ndarray = np.load(self.folder / "hu.npy", mmap_mode="r")
        return array

    @cached_property
    def labels(self) -> UInt8[np.ndarray, "d m m"]:
        """Structures on the mask grid."""
        array: np.ndarray = np.load(self.folder / "labels.npy", mmap_mode="r")
        return array

    @cached_property
    def lesions(self) -> UInt8[np.ndarray, "d m m"]:
        """Findings on the mask grid."""
        array: np.ndarray = np.load(self.folder / "lesions.npy", mmap_mode="r")
        return array

    @cached_property
    def whole(self) -> Num[np.ndarray, "1 d h w"]:
        """The 3-D encoder's input."""
        array: np.ndarray = np.load(self.folder / "whole.npy", mmap_mode="r")
        return array

    @property
    def num_slices(self) -> int:
        """Slices along d."""
        return int(self.hu.shape[0])

    def whole_volume(self) -> Float[Tensor, "1 d h w"]:
        """The 3-D encoder's input as a tensor of its own."""
        return torch.from_numpy(np.array(self.whole, dtype=np.float32))

    def channels_hu(self, numbers: Int[np.ndarray, " n"], sam2: Sam2Config) -> Float[Tensor, "n 3 s s"]:
        """Slices in HU with the neighbours that are the pixel decoder's other channels."""
        rows = channel_slices(numbers, self.num_slices, self.slice_spacing_mm, sam2)
        return torch.from_numpy(np.array(self.hu[rows.ravel()])).reshape(*rows.shape, *self.hu.shape[1:]).float()

    def structure_mask(self, key: str) -> Bool[np.ndarray, "d m m"] | None:
        """Mask of a structure, or of a whole whose visible parts were all contoured; None where not known."""
        if key in self.keys:
            meant = {key} | wholes.parts_of(key)
            return wholes.any_of(self.labels, [n for n, one in enumerate(self.keys, start=1) if one in meant])
        parts = [self.structure_mask(part) for part in vocabulary.STRUCTURES[key].parts]
        known = [part for part in parts if part is not None]
        return np.logical_or.reduce(known) if known and (self._is_complete or len(known) == len(parts)) else None

    @cached_property
    def present_keys(self) -> tuple[str, ...]:
        """Structures with voxels, wholes of contoured parts among them."""
        seen = {self.keys[value - 1] for value in np.unique(self.labels) if value}
        enough = any if self._is_complete else all
        return tuple(key for key in vocabulary.STRUCTURES if _is_covered(key, seen, enough))

    @property
    def _is_complete(self) -> bool:
        """Whether a part without a contour is out of sight, as single vertebrae of an abdomen are."""
        return len(self.keys) >= COMPLETE_KEYS


def load_case(folder: Path) -> Case:
    """Open a cached case.

    Raises:
        DatasetError: if it is not one, or of another version.
    """
    try:
        record = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DatasetError(f"'{folder.name}' is no cached case ({error}). Delete it; it is made anew.") from error
    if record["cache_version"] != CACHE_VERSION:
        raise DatasetError(
            f"Cached case '{folder.name}' has version {record['cache_version']}; {CACHE_VERSION} is allowed. "
            "Delete the cache folder; it is made anew."
        )
    facts = None if record["facts"] is None else ScanFacts.from_json(record["facts"])
    return Case(
        folder=folder,
        case_id=record["case_id"],
        keys=tuple(record["keys"]),
        facts=facts,
        is_phantom=record["is_phantom"],
        slice_spacing_mm=record["slice_spacing_mm"],
    )


def _is_covered(key: str, seen: set[str], enough: Callable[[Iterable[bool]], bool]) -> bool:
    parts = vocabulary.STRUCTURES[key].parts
    return key in seen or (bool(parts) and enough(_is_covered(part, seen, enough) for part in parts))
