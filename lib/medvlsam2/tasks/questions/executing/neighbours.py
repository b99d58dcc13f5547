"""Distances between masks, the structure that holds or is nearest to a thing, and the vertebra beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.queries import AskDistance, Unit
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.questions.executing.measures import unknown
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.executing.units import converted

HELD_SHARE: Final = 0.5
"""A structure that contains at least this share of a thing holds it."""
LEVEL_MM: Final = 30.0
"""A vertebra farther than this along the patient's long axis does not tell a level: vertebrae are 15 to 30 mm high."""
_NO_PLACE: Final = frozenset({"body", "skeletal_muscle", "subcutaneous_fat", "torso_fat", "fat", "blood_vessels"})
"""Structures that no one names as the place of a thing."""


def distance(query: AskDistance, scene: Scene) -> Outcome:
    """The shortest distance between the surfaces of two objects; 0 where they touch or overlap."""
    both = (scene.things(query.first), scene.things(query.second))
    missing = [things for things in both if not things.is_present]
    if missing:
        return unknown(query, missing[0], both)
    unit: Unit = query.unit if query.unit in ("mm", "cm") else "mm"
    pairs = [(one, other) for one in both[0].each for other in both[1].each]
    shortest_mm, first, second = min(
        ((distance_mm(scene.mask(one), scene.mask(other), scene), one, other) for one, other in pairs),
        key=lambda found: found[0],
    )
    value = converted(shortest_mm, "mm", unit)
    return Outcome(query=query, value=value, unit=unit, things=both, evidence=(first, second))


def distance_mm(first: KeptMask, second: KeptMask, scene: Scene) -> float:
    """Return the shortest distance of a voxel centre of one mask from one of the other, in mm.

    It is 0 if the masks share a voxel, or if a voxel of one lies beside a voxel of the other.
    """
    if first.overlap(second):
        return 0.0
    places, others = _surface_ijk(first), _surface_ijk(second)
    if len(places) > len(others):
        places, others = others, places
    affine = scene.volume.affine
    apart_mm, numbers = cKDTree(geometry.ijk_to_ras(others, affine)).query(geometry.ijk_to_ras(places, affine))
    nearest = int(apart_mm.argmin())
    step_ijk = np.abs(places[nearest] - others[int(numbers[nearest])])
    return 0.0 if step_ijk.max() <= 1 else float(apart_mm[nearest])


@dataclass(frozen=True)
class Near:
    """The structure in which, or beside which, a thing lies."""

    structure: Fact
    share: float
    """Share of the thing that the structure contains."""
    distance_mm: float


def nearest_structure(thing: Fact, scene: Scene) -> Near | None:
    """Return the structure that holds most of a thing, or else the nearest one.

    Only structures that the scan's facts tell reliably are compared, without the thing itself and its parts.
    """
    own = anatomy.leaves(thing.key)
    keys = [
        key
        for key in scene.facts.source.structures
        if key not in _NO_PLACE and key in anatomy.single_structures() and not own & anatomy.leaves(key)
    ]
    return _nearest(thing, keys, scene) if thing.mask is not None else None


def holder_of(finding: Fact, scene: Scene) -> str | None:
    """Return the single structure that holds a finding: of a finding in the lungs, the left or the right lung.

    It is the one of its host's parts that contains most of it, or else the nearest one; the host itself where no part
    is known; None for a finding without a host.
    """
    host = finding.structure
    if host is None:
        return None
    parts = [
        key
        for key in anatomy.single_structures()
        if key in anatomy.leaves(host) and key != host and scene.facts.source.knows(key) and not _is_lobe(key)
    ]
    is_one = vocabulary.STRUCTURES[host].side is not None or not parts
    if is_one or finding.mask is None:
        return host
    near = _nearest(finding, parts, scene)
    return host if near is None else near.structure.key


def _is_lobe(key: str) -> bool:
    return "lobe" in key


def _nearest(thing: Fact, keys: Sequence[str], scene: Scene) -> Near | None:
    mask = scene.mask(thing)
    others = [fact for fact in scene.facts.structures(keys) if fact.is_present]
    shares = {fact.key: scene.mask(fact).overlap(mask) / mask.voxels for fact in others}
    holder = max(others, key=lambda fact: shares[fact.key], default=None)
    if holder is None:
        return None
    if shares[holder.key] > 0:
        return Near(holder, shares[holder.key], 0.0)
    near = min(others, key=lambda fact: distance_mm(mask, scene.mask(fact), scene))
    return Near(near, 0.0, distance_mm(mask, scene.mask(near), scene))


def level_of(thing: Fact, scene: Scene) -> Fact | None:
    """Return the vertebra whose middle is nearest to a thing's middle along the patient's long axis."""
    if thing.centre_ras is None:
        return None
    keys = [key for key in vocabulary.STRUCTURES if key.startswith("vertebrae_") and scene.facts.source.knows(key)]
    seen = [fact for fact in scene.facts.structures(keys) if fact.centre_ras is not None and fact.is_present]
    z_mm = thing.centre_ras[2]
    apart_mm = {fact.key: abs(fact.centre_ras[2] - z_mm) for fact in seen if fact.centre_ras is not None}
    if not apart_mm or min(apart_mm.values()) > LEVEL_MM:
        return None
    return min(seen, key=lambda fact: apart_mm[fact.key])


def _surface_ijk(kept: KeptMask) -> Float[np.ndarray, "n 3"]:
    mask = np.pad(kept.in_box(), 1)
    surface = mask & ~ndimage.binary_erosion(mask)
    return np.argwhere(surface).astype(np.float64) - 1 + np.array(kept.start_ijk)
