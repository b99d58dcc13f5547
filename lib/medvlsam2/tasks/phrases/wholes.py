"""Which structures hold which: a kidney is a part of the kidneys, a lobe of its lung, a chamber of the heart.

Other than ``Structure.parts``, whose union is the whole, some structures hold others and more than those: the heart is
more than its chambers, the brain more than the brainstem. Both matter where a whole and its part are asked for in one
label map, for a voxel has one value there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import cache
from typing import Final

from medvlsam2.data import vocabulary

HOLDS_MORE: Final[Mapping[str, tuple[str, ...]]] = {
    "heart": (
        *("heart_myocardium", "heart_atrium_left", "heart_atrium_right", "heart_ventricle_left"),
        *("heart_ventricle_right", "atrial_appendage_left"),
    ),
    "brain": ("brainstem", "cerebellum"),
    "skeletal_muscle": ("gluteus_maximus", "gluteus_medius", "gluteus_minimus", "autochthons", "iliopsoas"),
    "trachea": ("carina",),
}
"""Structures that hold others without being their union."""


def is_pair(structure: vocabulary.Structure) -> bool:
    """Whether a structure is a left one and a right one together."""
    return {vocabulary.STRUCTURES[part].side for part in structure.parts} == {"left", "right"}


def is_series(structure: vocabulary.Structure) -> bool:
    """Whether a structure is several ribs or vertebrae, or holds them."""
    return any(part.startswith(("rib", "vertebrae")) for part in parts_of(structure.key))


@cache
def parts_of(key: str) -> frozenset[str]:
    """Keys of all parts of a structure, and of their parts.

    Example:
        >>> sorted(parts_of("kidneys")), "vertebrae_L1" in parts_of("spine")
        (['kidney_left', 'kidney_right'], True)
    """
    if key == "body":
        return frozenset(vocabulary.STRUCTURES) - {"body"}
    nearest = (*vocabulary.STRUCTURES[key].parts, *HOLDS_MORE.get(key, ()))
    return frozenset(nearest).union(*(parts_of(part) for part in nearest))


def is_union_of(key: str, others: Set[str]) -> bool:
    """Whether some structures together are all of another one.

    Example:
        >>> is_union_of("kidneys", {"kidney_left", "kidney_right"}), is_union_of("kidneys", {"kidney_left"})
        (True, False)
    """
    parts = vocabulary.STRUCTURES[key].parts
    return bool(parts) and all(part in others or is_union_of(part, others) for part in parts)


def wholes_among(keys: Sequence[str | None]) -> dict[int, tuple[int, ...]]:
    """Positions of structures of which a list holds a part, with the parts' positions; the largest wholes first.

    Args:
        keys: vocabulary keys; None for what is no known structure.
    """
    held = {
        number: tuple(other for other, part in enumerate(keys) if part is not None and part in parts_of(key))
        for number, key in enumerate(keys)
        if key is not None
    }
    found = {number: parts for number, parts in held.items() if parts}
    return dict(sorted(found.items(), key=lambda item: -len(parts_of(keys[item[0]] or ""))))
