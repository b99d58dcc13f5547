"""True masks of a scan by name: structures, wholes of them, and findings one by one.

A name has no masks where it is known to be absent, and is unknown (None) where the truth does not tell: what was not
contoured is not absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy import ndimage

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion
from medvlsam2.data.labels.wholes import parts_of
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS, finding_key
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.scans import LabelledScan

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "cyst": frozenset({"cyst"}),
    "metastasis": frozenset({"metastasis"}),
    "nodule": frozenset({"nodule"}),
    "stone": frozenset({"stone"}),
    "mass": frozenset({"mass"}),
    "tumor": frozenset({"mass"}),
    "effusion": frozenset({"effusion"}),
    "fracture": frozenset({"fracture"}),
    "aneurysm": frozenset({"aneurysm"}),
    "calcification": frozenset({"calcification"}),
}
"""Kinds of a phantom's lesions that a general word means."""
UNSETTLED: Final = frozenset({"lesion"})
"""A word that may mean any lesion, and the names made with it: their truth is a matter of taste."""
_TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Known:
    """True masks of one scan.

    Args:
        scan: with its truth.
    """

    scan: LabelledScan

    def masks(self, key: str) -> list[Mask] | None:
        """The single objects of a name; none if it is absent, None if the truth does not tell.

        Args:
            key: of the vocabulary.
        """
        known = vocabulary.STRUCTURES[key]
        return self._lesions(key) if known.is_finding else self._structures(key)

    def lesions(self) -> Iterator[tuple[str, Lesion, Mask]]:
        """Each lesion of a phantom with its vocabulary key ("mass" has a general one) and mask."""
        if self.scan.lesion_map is None or self.scan.facts is None:
            return
        for lesion in self.scan.facts.lesions:
            key = finding_key(lesion) or (lesion.kind if lesion.kind in vocabulary.STRUCTURES else None)
            mask = self.scan.lesion_map == lesion.label_value
            if key is not None and mask.any():
                yield _sided(key, lesion.side), lesion, mask

    @property
    def knows_findings(self) -> bool:
        """Whether every finding is known."""
        return self.scan.facts is not None and self.scan.facts.lesions_known

    @cached_property
    def _absent(self) -> frozenset[str]:
        return frozenset(self.scan.facts.absent if self.scan.facts is not None else ())

    def _structures(self, key: str) -> list[Mask] | None:
        parts = sorted(part for part in parts_of(key) if not vocabulary.STRUCTURES[part].parts)
        if key in self.scan.truth and not any(part in self.scan.truth for part in parts):
            return [self.scan.truth[key]] if self.scan.truth[key].any() else []
        names = parts or [key]
        told = [name for name in names if name in self.scan.truth or name in self._absent]
        if not told or (parts and len(told) < len(names) and not self._is_phantom):
            return None
        return [mask for name in told if (mask := self.scan.truth.get(name)) is not None and mask.any()]

    @property
    def _is_phantom(self) -> bool:
        return self.scan.lesion_map is not None

    def _lesions(self, key: str) -> list[Mask] | None:
        if not self.knows_findings:
            labelled = self.scan.truth.get(key)
            return None if labelled is None else _pieces(labelled)
        if key in UNSETTLED or key.rpartition("_")[2] in UNSETTLED:
            return None
        found = [mask for own, lesion, mask in self.lesions() if _is_meant(key, own, lesion)]
        return found if found or self._shows_hosts(key) else None

    def _shows_hosts(self, key: str) -> bool:
        """Whether a finding without a mask is absent: it may lie in the one of a pair that is not contoured.

        Where neither of the pair is told, the scan does not show the pair, and what it does not show it does not hold.
        """
        told = {side: self._structures(side) is not None for pair in _pairs_of(key) for side in pair}
        asked = [side for side in told if vocabulary.STRUCTURES[key].side in (None, vocabulary.STRUCTURES[side].side)]
        unknown = [side for side in asked if not told[side]]
        return not any(told.get(vocabulary.mirror(side), False) for side in unknown)


def _is_meant(key: str, own: str, lesion: Lesion) -> bool:
    base = own.removesuffix(f"_{lesion.side}")
    if key in KINDS:
        return lesion.kind in KINDS[key]
    return key in (own, base) or (key == f"{base}_{lesion.side}")


def _pairs_of(key: str) -> list[tuple[str, str]]:
    """The left and right structures in which a finding may lie."""
    base, kinds = key.removesuffix(f"_{vocabulary.STRUCTURES[key].side}"), KINDS.get(key, ())
    families = {family for (kind, family), name in FINDING_KEYS.items() if name == base or kind in kinds}
    pairs = [(f"{family}_left", f"{family}_right") for family in sorted(families)]
    return [pair for pair in pairs if set(pair) <= vocabulary.STRUCTURES.keys()]


def _sided(key: str, side: str | None) -> str:
    return f"{key}_{side}" if f"{key}_{side}" in vocabulary.STRUCTURES else key


def _pieces(mask: Mask) -> list[Mask]:
    """Connected parts of a mask; voxels that share a corner are connected."""
    labels, count = ndimage.label(mask, _TOUCHING)
    return [labels == number for number in range(1, count + 1)]
