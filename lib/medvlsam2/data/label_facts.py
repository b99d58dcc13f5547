"""What the labels of a real scan prove about it: the contoured structures, their volumes, the part of the body."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region, ScanFacts

_REGION_TESTS: tuple[tuple[Region, Callable[[Set[str]], bool]], ...] = (
    ("head and neck", lambda keys: bool(keys & {"mandible", "brainstem", "parotid_gland_left", "parotid_gland_right"})),
    ("abdomen and pelvis", lambda keys: "liver" in keys and bool(keys & {"urinary_bladder", "hip_left"})),
    ("abdomen", lambda keys: bool(keys & {"liver", "spleen", "pancreas"})),
    ("chest", lambda keys: bool(keys & {"lung_left", "lung_right", "trachea"})),
)


def facts_of_labels(volumes_ml: Mapping[str, float]) -> ScanFacts | None:
    """Facts of a scan of which only the contours are known; None where they do not settle the part of the body.

    Args:
        volumes_ml: volume of every contoured structure, by vocabulary key; findings are left out.
    """
    anatomy = {
        key: volume for key, volume in volumes_ml.items() if volume > 0 and not vocabulary.STRUCTURES[key].is_finding
    }
    region = next((region for region, holds in _REGION_TESTS if holds(set(anatomy))), None)
    return None if region is None else ScanFacts(region=region, volumes_ml=anatomy)
