"""Structures that a real scan certainly does not show, though nobody labelled their absence.

The distance from a contoured landmark to the end of the scan decides: a scan that ends 100 mm below the larynx shows no
liver. If no landmark is contoured, nothing is certain. The distances here are far shorter than those of any adult.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy

BELOW_LARYNX_MM: Final = {"abdomen": 120.0, "pelvis": 220.0}
"""Down to this distance below the larynx (vertebra C6) a scan shows no part of that region."""
LARYNX_BELOW_MM: Final = {"larynx": 0.0, "mandible": 40.0, "brainstem": 90.0}
"""How far the larynx's lower end lies below these at least."""
PELVIS_BELOW_LUNGS_MM: Final = 80.0
HEAD_ABOVE_LIVER_MM: Final = 150.0


def certainly_absent(
    region: Region, masks: Mapping[str, Bool[np.ndarray, "i j k"]], affine: Float[np.ndarray, "4 4"]
) -> tuple[str, ...]:
    """Vocabulary keys of structures that lie beyond the ends of a scan; empty where that is not certain.

    Args:
        region: the part of the body that the contoured structures lie in.
        masks: every contoured structure, by vocabulary key.
        affine: the scan's, voxel index to RAS+ mm.
    """
    contoured = {key: mask for key, mask in masks.items() if mask.any()}
    if region == "head and neck":
        found = _below_the_neck(contoured, affine)
    elif region == "chest":
        below = [_gap_mm(contoured[key], affine, up=False) for key in ("lung_left", "lung_right") if key in contoured]
        found = _only_in("pelvis", ("head and neck", "chest", "abdomen")) if _near(below, PELVIS_BELOW_LUNGS_MM) else ()
    elif region == "abdomen":
        above = [_gap_mm(contoured[key], affine, up=True) for key in ("liver", "spleen") if key in contoured]
        found = _only_in("head and neck", ("chest", "abdomen", "pelvis")) if _near(above, HEAD_ABOVE_LIVER_MM) else ()
    else:
        found = ()
    shown = {leaf for key in masks for leaf in anatomy.leaves(key)}
    beyond = set(anatomy.outside(region))
    return tuple(key for key in found if key in beyond and key not in shown)


def _below_the_neck(contoured: Mapping[str, np.ndarray], affine: np.ndarray) -> tuple[str, ...]:
    gaps = [
        _gap_mm(contoured[key], affine, up=False) - offset
        for key, offset in LARYNX_BELOW_MM.items()
        if key in contoured
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


def _gap_mm(mask: np.ndarray, affine: np.ndarray, *, up: bool) -> float:
    """How far the scan goes on towards the head or the feet beyond a structure."""
    heights = np.argwhere(mask) @ affine[2, :3] + affine[2, 3]
    corners = itertools.product(*((0, size - 1) for size in mask.shape))
    ends = [float(affine[2, :3] @ corner + affine[2, 3]) for corner in corners]
    return max(ends) - float(heights.max()) if up else float(heights.min()) - min(ends)
