"""Which structure a box is drawn round, where it is one that the model knows by name.

A box says how far an object goes, not what it is, and a name finds the object's edges better than a box alone. So the
quick masks of all structures that the model was trained on (:mod:`medvlsam2.tasks.measure.structures`) are compared
with the box, on some of its slices and just beyond its ends; where one of them fills it and hardly leaves it, the
object is looked for as if that name had been given too. What no structure fits, such as a tumour, is looked for by the
box alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medvlsam2.data import vocabulary
from medvlsam2.data.structures.table import Window
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.model.propagation.object_query import Lease
from medvlsam2.pixel_grid import pixel_under
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.measure.structures import sure_masks
from medvlsam2.transforms.spatial import GridBox
from medvlsam2.voxel_box import BoxIJK

FITS: Final = 0.6
"""A structure that fits a box at least so well is taken to be what the box was drawn round."""
SLICES: Final = 8
"""Slices of a box on which structures are looked for, evenly spaced."""
BEYOND: Final = 0.15
"""So far beyond each end of a box, in lengths of the box, the structure should not be seen any more …"""
MIN_BEYOND: Final = 2
"""… and at least so many slices beyond."""
TOLERANCE_PX: Final = 1.0
"""Edges of a structure at most so far from those of the box count as equal."""
WEIGHT_BEYOND: Final = 0.25
"""A pixel on a slice beyond the ends counts as much as a pixel outside the box on this share of the box's slices."""
AT_ONCE: Final = 4
"""Slices in one lease on the device."""


@torch.no_grad()
def structure_in_box(
    similarity: TextSimilarity, tokens: Mapping[str, Float[Tensor, " c"]], view: View, box_ijk: BoxIJK, lease: Lease
) -> str | None:
    """Vocabulary key of the structure that fits the box best; None where none fits.

    Args:
        similarity: the model's comparison of words with pixels.
        tokens: [SEG] token of each structure, by its vocabulary key.
        view: the whole scan.
        box_ijk: half-open voxel box (i0, i1, j0, j1, k0, k1).
        lease: entered for each step, so that others can use the device in between.

    Raises:
        InvalidPrompt: on an inverted or empty box.
    """
    box = view.record.box_to_grid(box_ijk)
    inside = _middles_of_shares(box)
    numbers = inside + _beyond(box, view.record.num_slices)
    by_window: dict[Window, list[str]] = defaultdict(list)
    for key in tokens:
        by_window[vocabulary.STRUCTURES[key].window].append(key)
    fits: dict[str, float] = {}
    for window, keys in by_window.items():
        asked, parts = torch.stack([tokens[key] for key in keys]), []
        for start in range(0, len(numbers), AT_ONCE):
            with lease():
                part = view.features(window).select(torch.tensor(numbers[start : start + AT_ONCE]))
                parts.append((sure_masks(similarity, asked, part) > 0).cpu())
        _, rows, columns = box.edges_on(view.sam2.mask_size, view.record.side)
        for key, masks in zip(keys, torch.cat(parts).movedim(1, 0).numpy(), strict=True):
            fits[key] = _fit(masks[: len(inside)], masks[len(inside) :], rows, columns)
    best = max(fits, key=lambda key: fits[key])
    return best if fits[best] >= FITS else None


def _middles_of_shares(box: GridBox) -> list[int]:
    """Some slices of the box, each in the middle of its share."""
    length = box.last - box.first + 1
    count = min(SLICES, length)
    return sorted({*(box.first + pixel_under(np.arange(count), count, length)).tolist()})


def _beyond(box: GridBox, num_slices: int) -> list[int]:
    """A slice beyond each end of the box, where the scan has one."""
    gap = max(MIN_BEYOND, round(BEYOND * (box.last - box.first + 1)))
    return [number for number in (box.first - gap, box.last + gap) if 0 <= number < num_slices]


def _fit(
    inside: Bool[np.ndarray, "n m m"],
    beyond: Bool[np.ndarray, "b m m"],
    box_rows: tuple[float, float],
    box_columns: tuple[float, float],
) -> float:
    """0..1: share of a mask that is in the box x share of the box's slices that it is on x how alike the extents are.

    Args:
        inside: the mask on slices of the box.
        beyond: on slices beyond its ends.
        box_rows: where the box begins and ends on the mask grid, along the rows …
        box_columns: … and along the columns.
    """
    rows, columns = (
        slice(max(0, int(low - TOLERANCE_PX)), int(np.ceil(high + TOLERANCE_PX)))
        for low, high in (box_rows, box_columns)
    )
    held = inside[:, rows, columns]
    if not held.any():
        return 0.0
    share = held.sum() / (inside.sum() + WEIGHT_BEYOND * len(inside) * beyond.sum())
    seen = held.any(axis=(1, 2)).mean()
    height = _overlap(held.any(axis=(0, 2)), rows.start, box_rows)
    width = _overlap(held.any(axis=(0, 1)), columns.start, box_columns)
    return float(share * seen * height * width)


def _overlap(held: Bool[np.ndarray, " n"], offset: int, wanted: tuple[float, float]) -> float:
    """Intersection over union of what a mask holds along one axis and what the box does."""
    line = np.flatnonzero(held) + offset
    found = (float(line[0]), float(line[-1] + 1))
    low, high = (want if abs(want - edge) <= TOLERANCE_PX else edge for want, edge in zip(wanted, found, strict=True))
    common = min(high, wanted[1]) - max(low, wanted[0])
    return max(0.0, common) / (max(high, wanted[1]) - min(low, wanted[0]))
