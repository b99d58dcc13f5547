"""Structures that a real scan certainly does not show, though nobody labelled their absence.

Only the distance from a contoured landmark to the scan's end settles this: a scan that ends 100 mm below the larynx
shows no liver. Where no landmark is contoured, nothing is certain. The distances are far shorter than in any adult.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np

from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan

BELOW_LARYNX_MM: Final = {"abdomen": 120.0, "pelvis": 220.0}
"""At this distance below the larynx (vertebra C6) no part of that region is in sight yet."""
LARYNX_BELOW_MM: Final = {"larynx": 0.0, "mandible": 40.0, "brainstem": 90.0}
"""How far the larynx's lower end lies below these at least."""
PELVIS_BELOW_LUNGS_MM: Final = 80.0
HEAD_ABOVE_LIVER_MM: Final = 150.0


def certainly_absent(scan: LabelledScan) -> tuple[str, ...]:
    """Vocabulary keys of structures that lie beyond the ends of a scan; empty where that is not certain."""
    if scan.facts is None:
        return ()
    region = scan.facts.region
    if region == "head and neck":
        found = _below_the_neck(scan)
    elif region == "chest":
        below = [gap for key in ("lung_left", "lung_right") if (gap := _gap_mm(scan, key, up=False)) is not None]
        found = _only_in("pelvis", ("head and neck", "chest", "abdomen")) if _near(below, PELVIS_BELOW_LUNGS_MM) else ()
    elif region == "abdomen":
        above = [gap for key in ("liver", "spleen") if (gap := _gap_mm(scan, key, up=True)) is not None]
        found = _only_in("head and neck", ("chest", "abdomen", "pelvis")) if _near(above, HEAD_ABOVE_LIVER_MM) else ()
    else:
        found = ()
    shown = {leaf for key in scan.truth for leaf in anatomy.leaves(key)}
    beyond = set(anatomy.outside(region))
    return tuple(key for key in found if key in beyond and key not in shown)


def _below_the_neck(scan: LabelledScan) -> tuple[str, ...]:
    gaps = [
        gap - offset for key, offset in LARYNX_BELOW_MM.items() if (gap := _gap_mm(scan, key, up=False)) is not None
    ]
    found: tuple[str, ...] = ()
    if _near(gaps, BELOW_LARYNX_MM["abdomen"]):
        found += _only_in("abdomen", ("head and neck", "chest"))
    if _near(gaps, BELOW_LARYNX_MM["pelvis"]):
        found += _only_in("pelvis", ("head and neck", "chest", "abdomen"))
    return tuple(dict.fromkeys(found))


def _near(gaps_mm: Iterable[float], limit_mm: float) -> bool:
    """Whether the scan ends within the limit of every landmark, and there is a landmark."""
    farthest = max(gaps_mm, default=None)
    return farthest is not None and farthest <= limit_mm


def _only_in(region: Region, others: tuple[Region, ...]) -> tuple[str, ...]:
    elsewhere = {key for other in others for key in anatomy.in_region(other)}
    return tuple(key for key in anatomy.in_region(region) if key not in elsewhere)


def _gap_mm(scan: LabelledScan, key: str, *, up: bool) -> float | None:
    """How far the scan goes on towards the head or the feet beyond a structure; None where it is not contoured."""
    mask = scan.truth.get(key)
    if mask is None or not mask.any():
        return None
    heights = _heights_mm(scan, mask)
    corners = itertools.product(*((0, size - 1) for size in mask.shape))
    ends = [float(scan.volume.affine[2, :3] @ corner + scan.volume.affine[2, 3]) for corner in corners]
    return max(ends) - float(heights.max()) if up else float(heights.min()) - min(ends)


def _heights_mm(scan: LabelledScan, mask: Mask) -> np.ndarray:
    heights: np.ndarray = np.argwhere(mask) @ scan.volume.affine[2, :3] + scan.volume.affine[2, 3]
    return heights
