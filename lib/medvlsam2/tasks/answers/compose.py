"""One label map of objects of which some are parts of others: a part keeps its voxels, and the whole is the union.

A voxel has one value, so the masks of "kidneys" and "right kidney" compete for voxels if both are asked for. If all
parts of a whole are asked for, the model does not search for the whole: it is the union of its parts. If only some
parts are asked for, the whole keeps the voxels that belong to none of them. In both cases the whole consists of its
own value and the values of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from medvlsam2.data import vocabulary
from medvlsam2.tasks.phrases.wholes import is_union_of, wholes_among
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.transforms.label_map import label_map_to_source
from medvlsam2.transforms.spatial import SpatialRecord

Masks = tuple[Float[Tensor, "d m m"], SpatialRecord]
"""Mask logits of one object and the view in which they were found."""


@dataclass(frozen=True)
class Composition:
    """How the objects of one request share a label map; objects are counted from 0, value n + 1 is object n.

    Args:
        parts: for each whole the objects that are its parts, the largest wholes first.
        unions: wholes that are nothing but their parts.
        count: number of objects.
    """

    parts: Mapping[int, tuple[int, ...]]
    unions: frozenset[int]
    count: int

    @classmethod
    def of(cls, prompts: Sequence[ObjectPrompt]) -> Composition:
        """By the words of the prompts; a prompt with a click, stroke, box or mask means one object, and no whole."""
        keys = [_key(prompt) for prompt in prompts]
        held = {number: parts for number, parts in wholes_among(keys).items() if not prompts[number].is_placed}
        unions = {
            number
            for number, parts in held.items()
            if is_union_of(keys[number] or "", {keys[part] or "" for part in parts})
        }
        return cls(held, frozenset(unions), len(prompts))

    @property
    def searched(self) -> list[int]:
        """Objects that the model has to search for."""
        return [number for number in range(self.count) if number not in self.unions]

    def members(self, number: int) -> tuple[int, ...]:
        """The object and its parts; a union of parts has no voxel of its own, so only its parts."""
        own = () if number in self.unions else (number,)
        return (*own, *self.parts.get(number, ()))

    def label_map(self, found: Mapping[int, Masks], hu: Num[np.ndarray, "i j k"]) -> UInt8[np.ndarray, "i j k"]:
        """Value n + 1 where object n is likeliest, on the scan's grid; a part wins over its whole.

        Args:
            found: masks of every object that was searched for.
            hu: the scan.
        """
        label_map = _map_of(found, hu)
        larger: list[int] = []
        for whole in (number for number in self.parts if number in found):
            larger = [one for one in larger if whole in self.parts[one]] + [whole]
            others = _map_of({number: masks for number, masks in found.items() if number not in larger}, hu)
            parts = [part + 1 for part in self.parts[whole]]
            taken = (label_map == whole + 1) & np.isin(others, parts)
            label_map[taken] = others[taken]
        return label_map


def _map_of(found: Mapping[int, Masks], hu: Num[np.ndarray, "i j k"]) -> UInt8[np.ndarray, "i j k"]:
    numbers = list(found)
    label_map = label_map_to_source([found[number] for number in numbers], hu)
    if numbers == list(range(len(numbers))):
        return label_map
    table = np.zeros(256, dtype=np.uint8)
    table[1 : len(numbers) + 1] = np.array(numbers) + 1
    return table[label_map]


def _key(prompt: ObjectPrompt) -> str | None:
    known = None if prompt.text is None else vocabulary.lookup(prompt.text)
    return None if known is None else known.key
