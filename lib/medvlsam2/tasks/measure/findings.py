"""Findings by name: where the quick masks see one, in which structure, how large and how dense.

Each finding is tried everywhere; what is seen belongs to the nearest structure that can hold it, and without such a
structure it is not believed. Neither is what is seen faintly: how strong is strong enough is fitted for each finding
on phantoms that no one trained on (``benchmarks/findings.py``) and stands in the model's metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.language.findings.lesions import UNCOUNTABLE, WHOLE, host_family
from medvlsam2.data.structures.table import Side, Window
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.pixel_grid import middle_of
from medvlsam2.tasks.measure.structures import sure_slices
from medvlsam2.tasks.scheduling.device_lock import GiveWay, stay

MIN_VOXELS: Final = 3
"""A connected part of fewer voxels of the mask grid is noise."""
MAX_PARTS: Final = 5
"""Findings of one kind in one structure, the largest first."""
EVERYWHERE: Final = frozenset({"body", "skeletal_muscle"})
"""Places that need no mask of their own: every scan shows some of them."""

STRONG_PIXELS: Final = 5
"""The weakest of so many of the strongest pixels says how strongly a finding is seen."""
NEAR_PX: Final = 2
"""Pixels beside a structure that count as its own, since a finding often is no part of its mask."""

Mask = Bool[np.ndarray, "d m m"]
Logits = Float[np.ndarray, "d m m"]


@dataclass(frozen=True)
class MaskGrid:
    """The grid of the quick masks in the scan."""

    spacing_dhw_mm: tuple[float, float, float]
    hu_dhw: Float[np.ndarray, "d m m"]
    """The scan on this grid."""
    to_ijk: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]
    """Voxel indices of the scan at positions d, h, w of this grid."""
    affine: Float[np.ndarray, "4 4"]
    """The scan's, voxel index to RAS+ mm."""


@torch.no_grad()
def measure_findings(
    similarity: TextSimilarity,
    tokens: Mapping[str, Float[Tensor, " c"]],
    features_of: Callable[[Window], SliceSource],
    structures: Mapping[str, Mask],
    grid: MaskGrid,
    *,
    thresholds: Mapping[str, float],
    give_way: GiveWay = stay,
) -> tuple[Lesion, ...]:
    """What is seen of some findings.

    Args:
        similarity: the model's comparison of words with pixels.
        tokens: [SEG] token of each finding (vocabulary key).
        features_of: slice features of the scan in a window.
        structures: masks of the structures that were seen, by vocabulary key.
        grid: the masks' grid.
        thresholds: strength from which on each finding is believed; others always are.
        give_way: called between steps.
    """
    found: list[Lesion] = []
    for key, logits in _logits(similarity, tokens, features_of, give_way):
        if strength(key, logits, structures) < thresholds.get(key, -np.inf):
            continue
        for kind, host, part in _placed(key, logits > 0, structures, grid.spacing_dhw_mm):
            found.append(_lesion(kind, host, part, grid, label_value=len(found) + 1))
    return tuple(found)


@torch.no_grad()
def strengths(
    similarity: TextSimilarity,
    tokens: Mapping[str, Float[Tensor, " c"]],
    features_of: Callable[[Window], SliceSource],
    structures: Mapping[str, Mask],
) -> dict[str, float]:
    """How strongly each finding is seen; arguments are those of :func:`measure_findings`."""
    return {key: strength(key, logits, structures) for key, logits in _logits(similarity, tokens, features_of, stay)}


def strength(key: str, logits: Logits, structures: Mapping[str, Mask]) -> float:
    """Of one finding: the logit of its strongest pixels in or near a structure that can hold it.

    Args:
        key: of the finding.
        logits: of its quick masks.
        structures: masks of the structures that were seen, by vocabulary key.

    Returns:
        Minus infinity where no such structure was seen.
    """
    families = {family for (_, family), name in FINDING_KEYS.items() if name == key}
    held = logits.ravel()
    if not families & EVERYWHERE:
        hosts = [seen for name, seen in structures.items() if host_family(name) in families]
        if not hosts:
            return -np.inf
        held = logits[ndimage.binary_dilation(np.logical_or.reduce(hosts), iterations=NEAR_PX)]
    count = min(STRONG_PIXELS, held.size)
    return float(np.partition(held, -count)[-count])


def _logits(
    similarity: TextSimilarity,
    tokens: Mapping[str, Float[Tensor, " c"]],
    features_of: Callable[[Window], SliceSource],
    give_way: GiveWay,
) -> Iterator[tuple[str, Logits]]:
    for key, token in tokens.items():
        features = features_of(vocabulary.STRUCTURES[key].window)
        parts = [logits[:, 0].cpu().numpy() for logits in sure_slices(similarity, token[None], features, give_way)]
        yield key, np.concatenate(parts)


def _placed(
    key: str, mask: Mask, structures: Mapping[str, Mask], spacing_dhw_mm: tuple[float, float, float]
) -> Iterator[tuple[str, str, Mask]]:
    """Kind, holding structure and mask of each finding: connected parts, or all of them where it is not counted."""
    places = [place for place, name in FINDING_KEYS.items() if name == key]
    kind, families = places[0][0], {family for _, family in places}
    hosts = {name: seen for name, seen in structures.items() if host_family(name) in families}
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    by_host: dict[str, list[Mask]] = {}
    for number in np.argsort(-sizes):
        if sizes[number] < MIN_VOXELS:
            break
        part = labels == number + 1
        host = next(iter(families & EVERYWHERE), None) or _nearest(part, hosts, spacing_dhw_mm)
        if host is not None:
            by_host.setdefault(host, []).append(part)
    for host, parts in by_host.items():
        if kind in UNCOUNTABLE | WHOLE:
            yield kind, host, np.logical_or.reduce(parts)
        else:
            yield from ((kind, host, part) for part in parts[:MAX_PARTS])


def _nearest(part: Mask, hosts: Mapping[str, Mask], spacing_dhw_mm: tuple[float, float, float]) -> str | None:
    """The structure that holds most of a part; if none holds any of it, the one whose centre is nearest."""
    if not hosts:
        return None
    shared = {name: int((part & seen).sum()) for name, seen in hosts.items()}
    if max(shared.values()) > 0:
        return max(shared, key=lambda name: shared[name])
    centre_dhw = np.array(ndimage.center_of_mass(part))

    def distance_mm(name: str) -> float:
        way_dhw = np.array(ndimage.center_of_mass(hosts[name])) - centre_dhw
        return float(np.linalg.norm(way_dhw * spacing_dhw_mm))

    return min(hosts, key=distance_mm)


def _lesion(kind: str, host: str, part: Mask, grid: MaskGrid, *, label_value: int) -> Lesion:
    """A finding as it is measured; its diameter is the longest side of the box round it."""
    voxels_dhw = np.argwhere(part)
    middle = np.argmin(np.linalg.norm(voxels_dhw - voxels_dhw.mean(axis=0), axis=1))
    centre_ijk = grid.to_ijk(voxels_dhw[middle][None].astype(float))
    centre_ras = geometry.ijk_to_ras(centre_ijk, grid.affine)
    (i, j, k), (x, y, z) = centre_ijk[0].tolist(), centre_ras[0].tolist()
    sides_mm = (np.ptp(voxels_dhw, axis=0) + 1) * np.array(grid.spacing_dhw_mm)
    return Lesion(
        kind=kind,
        structure=host,
        side=anatomy.side(host) or _side_of_body(x, grid),
        center_ijk=(round(i), round(j), round(k)),
        center_ras=(x, y, z),
        diameter_mm=float(sides_mm.max()),
        mean_hu=float(grid.hu_dhw[part].mean()),
        label_value=label_value,
    )


def _side_of_body(x_ras: float, grid: MaskGrid) -> Side:
    """Left or right of the middle of what the model sees, which is cut round the body."""
    middle_dhw = middle_of(np.array(grid.hu_dhw.shape, dtype=float))
    middle_ras = geometry.ijk_to_ras(grid.to_ijk(middle_dhw[None]), grid.affine)[0]
    return "right" if x_ras > middle_ras[0] else "left"
