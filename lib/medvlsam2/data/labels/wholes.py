"""A whole structure and its parts in one label map: a voxel has one value, so the whole lacks its parts' voxels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Integer

from medvlsam2.data import vocabulary


def parts_of(key: str) -> set[str]:
    """All parts of a structure, and their parts; none for what the vocabulary does not know.

    Example:
        >>> sorted(parts_of("kidneys"))
        ['kidney_left', 'kidney_right']
    """
    if key not in vocabulary.STRUCTURES:
        return set()
    parts = set(vocabulary.STRUCTURES[key].parts)
    return parts.union(*(parts_of(part) for part in parts))


def pairs(keys: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Each whole among some structures, with those of its parts that are among them too."""
    given = set(keys)
    found = [(key, sorted(parts_of(key) & given)) for key in sorted(given)]
    return [(whole, parts) for whole, parts in found if parts]


def masks(values: Integer[np.ndarray, "i j k"], keys: Mapping[int, str]) -> dict[str, Bool[np.ndarray, "i j k"]]:
    """Every structure of a label map by its key, a whole with the parts that are painted as segments of their own.

    Args:
        values: 0 is background.
        keys: vocabulary key of each value that has one; several values may have one key.
    """
    found: dict[str, Bool[np.ndarray, "i j k"]] = {}
    for key in dict.fromkeys(keys.values()):
        meant = {key} | parts_of(key)
        found[key] = any_of(values, [value for value, one in keys.items() if one in meant])
    return found


def any_of(values: Integer[np.ndarray, "i j k"], wanted: Sequence[int]) -> Bool[np.ndarray, "i j k"]:
    """Where an array has one of some values; one comparison where there is one, which is much the fastest."""
    return np.asarray(values) == wanted[0] if len(wanted) == 1 else np.isin(values, wanted)


def warnings(names: Mapping[int, str]) -> list[str]:
    """A sentence for each segment that is the whole of other segments of the same label map.

    Example:
        >>> warnings({1: "kidneys", 2: "left kidney"})
        ["'kidneys' and its part 'left kidney' are both segments: ..."]
    """
    by_key = {known.key: name for name in names.values() if (known := vocabulary.lookup(name)) is not None}
    return [
        f"'{by_key[whole]}' and its part{'s' if len(parts) > 1 else ''} "
        f"{', '.join(repr(by_key[part]) for part in parts)} are both segments: a voxel belongs to one of them only, so "
        f"'{by_key[whole]}' is what its parts leave over. Keep the parts or the whole."
        for whole, parts in pairs(by_key)
    ]
