"""Facts of a real scan that its labels prove: the contoured structures, their volumes, the part of the body.

Structures beyond the ends of the scan are known to be absent. A structure that is merely not contoured may be there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import numpy as np
from jaxtyping import Bool, Float

from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.absence import certainly_absent
from medvlsam2.data.facts import Region, ScanFacts
from medvlsam2.geometry import voxel_volume_ml

_REGION_TESTS: tuple[tuple[Region, Callable[[Set[str]], bool]], ...] = (
    ("head and neck", lambda keys: bool(keys & {"mandible", "brainstem", "parotid_gland_left", "parotid_gland_right"})),
    ("abdomen and pelvis", lambda keys: "liver" in keys and bool(keys & {"urinary_bladder", "hip_left"})),
    ("abdomen", lambda keys: bool(keys & {"liver", "spleen", "pancreas"})),
    ("chest", lambda keys: bool(keys & {"lung_left", "lung_right", "trachea"})),
)


def facts_of_labels(
    masks: Mapping[str, Bool[np.ndarray, "i j k"]], affine: Float[np.ndarray, "4 4"]
) -> ScanFacts | None:
    """Facts of a scan of which only the contours are known; None where they do not settle the part of the body.

    Args:
        masks: every contoured structure, by vocabulary key; findings are left out.
        affine: the scan's, voxel index to RAS+ mm.
    """
    voxel_ml = voxel_volume_ml(affine)
    anatomy = {
        key: float(mask.sum() * voxel_ml)
        for key, mask in masks.items()
        if mask.any() and not vocabulary.STRUCTURES[key].is_finding
    }
    region = next((region for region, holds in _REGION_TESTS if holds(set(anatomy))), None)
    if region is None:
        return None
    return ScanFacts(region=region, volumes_ml=anatomy, absent=certainly_absent(region, masks, affine))
