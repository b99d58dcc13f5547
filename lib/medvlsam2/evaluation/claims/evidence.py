"""What facts or masks say of a name: whether it is there, on which sides, how many there are, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

import numpy as np
from scipy import ndimage

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.volume import CTVolume
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.truth import measuring

_BY_UNIT: Final = {
    "mL": ("volume_ml",),
    "mm": ("longest_mm", "short_axis_mm", "length_mm", "height_mm"),
    "HU": ("mean_hu",),
}
_TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)


@runtime_checkable
class Evidence(Protocol):
    """What is known of names."""

    def is_there(self, key: str) -> bool | None:
        """Whether a name is there; None if nothing is known."""

    def in_view(self, key: str) -> bool | None:
        """Whether the scan shows the place of a structure; None if nothing is known."""

    def sides(self, key: str) -> frozenset[str]:
        """Sides on which a finding is; none if no side is known."""

    def numbers(self, keys: Sequence[str], unit: str) -> list[float]:
        """All numbers that may be told of some names in mL, mm or HU."""


def family_of(key: str) -> tuple[str, ...]:
    """A finding with its sided names, or a structure alone.

    Example:
        >>> family_of("kidney_cyst"), family_of("liver")
        (('kidney_cyst', 'kidney_cyst_left', 'kidney_cyst_right'), ('liver',))
    """
    return tuple(name for name in (key, f"{key}_left", f"{key}_right") if name in vocabulary.STRUCTURES)


@dataclass(frozen=True)
class TableEvidence:
    """What the facts of a reply say.

    Args:
        table: of the facts.
    """

    table: FactTable

    def is_there(self, key: str) -> bool | None:
        """Whether any fact says that it is there; None without a fact."""
        facts = self._facts(key)
        if any(fact.is_present for fact in facts):
            return True
        return False if any(fact.state == "absent" for fact in facts) else None

    def in_view(self, key: str) -> bool | None:
        """Whether a fact says that it is there or in view by its place; not where all say that it is elsewhere."""
        facts = self._facts(key)
        if any(fact.is_present or fact.in_view for fact in facts):
            return True
        return False if facts else None

    def sides(self, key: str) -> frozenset[str]:
        """Sides of its facts that are present."""
        return frozenset(fact.side for fact in self._facts(key) if fact.is_present and fact.side is not None)

    def numbers(self, keys: Sequence[str], unit: str) -> list[float]:
        """Measurements of the facts with these keys, of rules about them, and sums of volumes."""
        facts = [fact for key in keys for fact in (*self._facts(key), *self._rules(key))]
        fields = _BY_UNIT.get(unit, ())
        found = [value for fact in facts for name in fields if (value := getattr(fact, name)) is not None]
        found += [fact.value for fact in facts if fact.value is not None and fact.unit == unit]
        if unit == "mL":
            found += [sum(fact.volume_ml or 0.0 for fact in self._facts(key)) for key in keys]
            found.append(sum(fact.volume_ml or 0.0 for key in keys for fact in self._facts(key)))
        return found

    def _facts(self, key: str) -> list[Fact]:
        own = [fact for name in dict.fromkeys((key, *family_of(key))) for fact in self.table.of_key(name)]
        parts = vocabulary.STRUCTURES[key].parts if key in vocabulary.STRUCTURES else ()
        return own or [fact for part in parts for fact in self.table.of_key(part)]

    def _rules(self, key: str) -> Iterator[Fact]:
        return (fact for fact in self.table if fact.kind == "rule" and fact.structure == key)


@dataclass
class MaskEvidence:
    """What the masks of names say; each mask is made once, when it is first asked for.

    Args:
        volume: the scan.
        mask_of: the mask of a name by vocabulary key, as ``segment`` answers for the name alone.
        judged: numbers of rules in the reply, which no single mask tells, such as a diameter across the aorta.
    """

    volume: CTVolume
    mask_of: Callable[[str], Mask]
    judged: TableEvidence | None = None
    _masks: dict[str, Mask] = field(default_factory=dict, repr=False)

    def is_there(self, key: str) -> bool | None:
        """Whether its mask has a voxel; for what has no mask of its own (splenomegaly), nothing is known."""
        if key in STATES:
            return None
        return any(self._mask(name).any() for name in family_of(key))

    def in_view(self, key: str) -> bool | None:
        """Whether it has a mask, or else what the facts of the reply say: what has no mask may lie in view."""
        if self.is_there(key):
            return True
        return None if self.judged is None else self.judged.in_view(key)

    def sides(self, key: str) -> frozenset[str]:
        """Sides of the lungs, kidneys or the body's middle, on which its voxels lie."""
        found: set[str] = set()
        for name in family_of(key):
            mask = self._mask(name)
            side = vocabulary.STRUCTURES[name].side
            if mask.any():
                found |= {side} if side is not None else self._sides_of(mask)
        return frozenset(found)

    def numbers(self, keys: Sequence[str], unit: str) -> list[float]:
        """Measurements of the masks, of their connected parts, and of rules in the reply."""
        found = self.judged.numbers(keys, unit) if self.judged is not None and unit != "mL" else []
        names = [name for key in keys for one in (key, STATES.get(key)) if one for name in family_of(one)]
        masks = [self._mask(name) for name in names]
        seen = [mask for mask in masks if mask.any()]
        if unit == "mL" and seen:
            seen.append(np.logical_or.reduce(seen))
        for mask in seen:
            found += [number for part in (mask, *_pieces(mask)) for number in self._measures(part, unit)]
        return found

    def _measures(self, mask: Mask, unit: str) -> list[float]:
        if unit == "mL":
            return [measuring.volume_ml(mask, self.volume)]
        if unit == "HU":
            inner = ndimage.binary_erosion(mask)
            return [measuring.mean_hu(one, self.volume) for one in (mask, inner) if one.any()]
        first, last = measuring.slices(mask, self.volume)
        height_mm = (last - first + 1) * self.volume.spacing_mm[measuring.slice_axis(self.volume)]
        return [*measuring.diameters_mm(mask, self.volume), measuring.length_mm(mask, self.volume), height_mm]

    def _sides_of(self, mask: Mask) -> set[str]:
        places = np.argwhere(mask)
        x_mm = float((places @ self.volume.affine[0, :3]).mean() + self.volume.affine[0, 3])
        body = np.argwhere(self.volume.hu[::4, ::4, ::4] > BODY_HU) * 4
        body_x_mm = body @ self.volume.affine[0, :3] + self.volume.affine[0, 3]
        middle_mm = float((body_x_mm.min() + body_x_mm.max()) / 2)
        return set() if abs(x_mm - middle_mm) < MIDDLE_MM else {"right" if x_mm > middle_mm else "left"}

    def _mask(self, key: str) -> Mask:
        if key not in self._masks:
            self._masks[key] = self.mask_of(key)
        return self._masks[key]


STATES: Final = {
    "splenomegaly": "spleen",
    "cardiomegaly": "heart",
    "aortic_aneurysm": "aorta",
    "ascending_aortic_dilatation": "aorta",
    "descending_aortic_dilatation": "aorta",
    "aortic_calcification": "aorta",
    "coronary_calcification": "heart",
    "kidney_asymmetry": "kidneys",
    "emphysema": "lungs",
}
"""Findings that are a state of a whole organ: a rule says whether they are there, not a mask of their own."""
BODY_HU: Final = -400
MIDDLE_MM: Final = 15.0
"""What lies nearer to the body's middle has no side."""
MOST_PIECES: Final = 12


def _pieces(mask: Mask) -> list[Mask]:
    labels, count = ndimage.label(mask, _TOUCHING)
    sizes = np.bincount(labels.ravel())[1:]
    largest = np.argsort(-sizes)[:MOST_PIECES] + 1
    return [labels == number for number in largest] if count > 1 else []
