"""Relations of wholes and parts: a kidney is a part of the kidneys, a lobe is a part of its lung.

There are two kinds of relation. The union of ``Structure.parts`` is the whole structure. ``HOLDS_MORE`` lists
structures that are more than the union of their parts: the heart is more than its chambers, the brain more than the
brainstem. Both matter if a request asks for a whole and its part in one label map, where a voxel has only one value.
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
"""Structures with parts whose union is not the whole structure."""


def is_series(structure: vocabulary.Structure) -> bool:
    """Return whether a structure has ribs or vertebrae among its parts."""
    return any(part.startswith(("rib", "vertebrae")) for part in held_by(structure.key))


def is_row(key: str) -> bool:
    """Return whether a name means vertebrae or ribs and nothing else; the skeleton holds them too.

    Example:
        >>> is_row("vertebrae"), is_row("lumbar_spine"), is_row("ribs_left"), is_row("rib_left_3"), is_row("skeleton")
        (True, True, True, False, False)
    """
    return key in ("vertebrae", "ribs", "ribs_left", "ribs_right", "spine") or key.endswith("_spine")


@cache
def held_by(key: str) -> frozenset[str]:
    """Return the keys of all structures that one holds: its parts, their parts, and those of ``HOLDS_MORE``.

    Example:
        >>> sorted(held_by("kidneys")), "vertebrae_L1" in held_by("spine")
        (['kidney_left', 'kidney_right'], True)
    """
    if key == "body":
        return frozenset(vocabulary.STRUCTURES) - {"body"}
    nearest = (*vocabulary.STRUCTURES[key].parts, *HOLDS_MORE.get(key, ()))
    return frozenset(nearest).union(*(held_by(part) for part in nearest))


def is_union_of(key: str, others: Set[str]) -> bool:
    """Return whether the union of some structures is the whole structure ``key``.

    Example:
        >>> is_union_of("kidneys", {"kidney_left", "kidney_right"}), is_union_of("kidneys", {"kidney_left"})
        (True, False)
    """
    parts = vocabulary.STRUCTURES[key].parts
    return bool(parts) and all(part in others or is_union_of(part, others) for part in parts)


def wholes_among(keys: Sequence[str | None]) -> dict[int, tuple[int, ...]]:
    """Return the positions of wholes in a list that also holds parts of them, each with the positions of these parts.

    The largest wholes come first.

    Args:
        keys: vocabulary keys; None for an unknown structure.
    """
    held = {
        number: tuple(other for other, part in enumerate(keys) if part is not None and part in held_by(key))
        for number, key in enumerate(keys)
        if key is not None
    }
    found = {number: parts for number, parts in held.items() if parts}
    return dict(sorted(found.items(), key=lambda item: -len(held_by(keys[item[0]] or ""))))
