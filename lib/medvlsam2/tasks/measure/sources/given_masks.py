"""Masks that are given: the label map of a phantom, or the labels of a real scan.

Facts of given masks are measured by the same code as those of a model's masks. So the rules are tested apart from the
model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings.finding_keys import finding_key
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import ScanRange, areas_of, extent_of, fit, imaged_slices
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import is_cut, slice_axis
from medvlsam2.tasks.measure.regions import SeenVolume, likeliest_region
from medvlsam2.tasks.measure.sources.mask_source import Seen

NOT_CONTOURED: Final = "The {name} is not among the labels of this scan."


@dataclass(frozen=True, eq=False)
class GivenMasks:
    """Masks by vocabulary key, on the scan's grid. A key without a mask is not contoured, which is not absent.

    Args:
        volume: the scan.
        masks: of structures.
        lesions: of findings, each lesion by itself; an empty tuple says that there is none.
        absent: structures that are known to be absent.
        known_region: part of the body; None: the likeliest one by what is labelled.
        every_finding_is_given: whether findings without an entry in ``lesions`` are absent (phantoms).
    """

    volume: CTVolume
    masks: Mapping[str, KeptMask]
    lesions: Mapping[str, tuple[KeptMask, ...]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    known_region: Region | None = None
    every_finding_is_given: bool = False

    @classmethod
    def of_truth(
        cls,
        volume: CTVolume,
        truth: Mapping[str, Bool[np.ndarray, "i j k"]],
        facts: ScanFacts | None = None,
        lesion_map: Integer[np.ndarray, "i j k"] | None = None,
    ) -> GivenMasks:
        """From what is known of a labelled scan or of a phantom (``medvlsam2.evaluation.scans.LabelledScan``).

        Args:
            volume: the scan.
            truth: mask of every contoured structure; an empty mask says nothing.
            facts: what is known beyond the masks.
            lesion_map: masks of the findings that ``facts`` lists, by their label values.
        """
        lesions: dict[str, list[KeptMask]] = {}
        for lesion in facts.lesions if facts is not None and lesion_map is not None else ():
            mask = KeptMask.of(np.asarray(lesion_map == lesion.label_value))
            key = finding_key(lesion)
            if key is not None and mask is not None:
                lesions.setdefault(sided(key, lesion.side), []).append(mask)
        return cls(
            volume,
            given(truth),
            lesions={key: tuple(masks) for key, masks in lesions.items()},
            absent=frozenset(() if facts is None else facts.absent),
            known_region=None if facts is None else facts.region,
            every_finding_is_given=facts is not None and facts.lesions_known and lesion_map is not None,
        )

    @property
    def structures(self) -> Sequence[str]:
        """All structures that are labelled, or known to be absent."""
        return [key for key in vocabulary.STRUCTURES if key in self.masks or key in self.absent]

    @property
    def findings(self) -> Sequence[str]:
        """All findings whose lesions are given."""
        return list(self.lesions)

    def knows(self, key: str) -> bool:
        """Whether there is a mask of a name, or its absence is known."""
        if vocabulary.STRUCTURES[key].is_finding:
            return self.every_finding_is_given or key in self.lesions
        return key in self.masks or key in self.absent

    def why_unknown(self, key: str) -> str:
        """It is not contoured."""
        return NOT_CONTOURED.format(name=vocabulary.STRUCTURES[key].name)

    def see(self, keys: Sequence[str]) -> Mapping[str, Seen]:
        """What is given of some names."""
        return {key: self._see(key) for key in keys}

    def glimpses(self, key: str) -> bool:
        """Whether it has a mask."""
        return key in self.masks

    def region(self) -> Region | None:
        """The region that is known, or the one that the labelled structures tell."""
        return self.known_region or self._told_region

    def scan_range(self) -> ScanRange | None:
        """The part of the body axis that the scan covers, by what is labelled; None if that contradicts the region."""
        found = self._range
        agrees = found is None or self.known_region in (None, found.region())
        return found if agrees else None

    @cached_property
    def _range(self) -> ScanRange | None:
        volume, imaged = self.volume, imaged_slices(self.volume)
        slice_mm = float(volume.spacing_mm[slice_axis(volume.affine)])
        extents = {key: extent_of(areas_of(mask, volume, imaged), slice_mm) for key, mask in self.masks.items()}
        known = {key: extent for key, extent in extents.items() if extent is not None}
        return fit(known, (imaged[1] - imaged[0]) * slice_mm)

    @cached_property
    def _told_region(self) -> Region | None:
        if self._range is not None:
            return self._range.region()
        voxel_ml = geometry.voxel_volume_ml(self.volume.affine)
        single = {
            key: SeenVolume(mask.voxels * voxel_ml, is_cut(mask, self.volume))
            for key, mask in self.masks.items()
            if key in anatomy.single_structures()
        }
        return likeliest_region(single) if single else None

    def _see(self, key: str) -> Seen:
        lesions = self.lesions.get(key)
        if lesions:
            return Seen("present", lesions[0].union(*lesions[1:]), 1.0, pieces=lesions)
        mask = self.masks.get(key)
        if mask is not None:
            return Seen("present", mask, 1.0)
        if self.knows(key):
            return Seen("absent", confidence=1.0)
        return Seen("not assessed", reason=self.why_unknown(key))


def sided(key: str, side: vocabulary.Side | None) -> str:
    """The key of a finding on one side; the key itself where the vocabulary has no such key.

    Example:
        >>> sided("kidney_cyst", "left"), sided("liver_cyst", "right"), sided("ascites", None)
        ('kidney_cyst_left', 'liver_cyst', 'ascites')
    """
    on_side = f"{key}_{side}"
    return on_side if on_side in vocabulary.STRUCTURES else key


def given(masks: Mapping[str, Bool[np.ndarray, "i j k"]]) -> dict[str, KeptMask]:
    """Keep arrays as masks; empty ones are left out."""
    kept = {key: KeptMask.of(mask) for key, mask in masks.items()}
    return {key: mask for key, mask in kept.items() if mask is not None}
