"""Where in a scan a sentence is about: at the finding that it states, else inside a structure that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language.clinical import parse_findings, structures_in

PlaceRAS = tuple[float, float, float]
"""A point in RAS+ mm."""
ToIJK = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]


def centres_ras(
    masks: Mapping[str, Bool[np.ndarray, "d h w"]], to_ijk: ToIJK, affine: Float[np.ndarray, "4 4"]
) -> dict[str, PlaceRAS]:
    """The voxel of each mask that is nearest to its middle: always inside, also where the mask is bent.

    Args:
        masks: by vocabulary key, on a grid of their own.
        to_ijk: voxel indices of the scan at positions of that grid.
        affine: the scan's, voxel index to RAS+ mm.
    """
    centres = {}
    for key, mask in masks.items():
        held = np.argwhere(mask)
        if not len(held):
            continue
        nearest = held[np.argmin(((held - held.mean(axis=0)) ** 2).sum(axis=1))]
        x, y, z = geometry.ijk_to_ras(to_ijk(nearest[None].astype(np.float64)), affine)[0].tolist()
        centres[key] = (x, y, z)
    return centres


def place_of(sentence: str, facts: ScanFacts | None, centres: Mapping[str, PlaceRAS]) -> PlaceRAS | None:
    """Where a sentence is about; None where nothing that it names was seen.

    Args:
        sentence: in words.
        facts: what is known of the scan, its findings with their places.
        centres: of structures, by vocabulary key.
    """
    stated = {(kind, structure) for kind, structure, _ in parse_findings(sentence)}
    for lesion in facts.lesions if facts is not None else ():
        if (lesion.kind, lesion.structure) in stated:
            return lesion.center_ras
    for key in structures_in(sentence):
        known = (one for one in (key, *vocabulary.STRUCTURES[key].parts) if one in centres)
        if (seen := next(known, None)) is not None:
            return centres[seen]
    return None
