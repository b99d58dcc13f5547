"""Scans whose truth is known: real ones by their labels, phantoms by how they were made.

A structure that was not contoured is not in ``truth``: it is never asked for as if it were absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.datasets.label_facts import facts_of_labels
from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.datasets.scans import pseudo_label, source
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.labels import wholes
from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.labels.submission import read_label_on_scan
from medvlsam2.data.language import anatomy
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume

PHANTOM_GROUP: Final = "phantom"
FIRST_PHANTOM_SEED: Final = 500_000
"""Training draws phantoms from seed 1,000 on; these are never trained on."""
WHOLES: Final = ("vertebrae", "ribs")
"""Asked for as the union of those parts that were contoured."""


@dataclass(frozen=True)
class LabelledScan:
    """One scan with what is known of it."""

    volume: CTVolume
    patient: str
    group: str
    """Where it comes from: scans of one group are averaged."""
    truth: Mapping[str, Bool[np.ndarray, "i j k"]]
    """Mask of every contoured structure, by vocabulary key; all false where a label has no voxel."""
    is_pseudo: bool = False
    """Whether the masks were made by a rule or a threshold and are no ground truth."""
    facts: ScanFacts | None = None
    """What a report or a question may speak of; None where too little is known."""
    name: str = ""
    """Of the case, or "phantom 500001"."""
    lesion_map: UInt8[np.ndarray, "i j k"] | None = None
    """Findings of a phantom."""

    @property
    def wholes(self) -> dict[str, Bool[np.ndarray, "i j k"]]:
        """Unions of contoured parts."""
        found = {}
        for whole in WHOLES:
            parts = [self.truth[key] for key in anatomy.leaves(whole) - {whole} if key in self.truth]
            if len(parts) > 1 and whole not in self.truth:
                found[whole] = np.logical_or.reduce(parts)
        return found


def read_scan(record: ScanRecord) -> LabelledScan:
    """Read one listed scan with its labels.

    Raises:
        UnreadableVolume, GeometryMismatch: if a file is damaged or its labels lie on another grid.
    """
    volume = read_volume(record.image, image_id=record.case_id)
    is_pseudo = record.label is None
    label, names = (pseudo_label(record) if is_pseudo else None) or (record.label, record.known_names)
    assert label is not None
    label_map = read_label_on_scan(label, ScanGeometry(volume.shape_ijk, volume.affine, record.case_id))
    truth = _masks(label_map.values, names)
    return LabelledScan(
        volume,
        patient=record.patient_id,
        group=f"{source(record)} (pseudo truth)" if is_pseudo else source(record),
        truth=truth,
        is_pseudo=is_pseudo,
        facts=facts_of_labels(truth, volume.affine),
        name=record.case_id,
    )


def draw_phantom(seed: int, config: phantom.PhantomConfig | None = None) -> LabelledScan:
    """Draw one phantom as a scan of which everything is known."""
    drawn = phantom.generate(seed, config or phantom.PhantomConfig())
    return LabelledScan(
        drawn.volume,
        patient=drawn.volume.image_id,
        group=PHANTOM_GROUP,
        truth={key: drawn.label_map == value for value, key in drawn.labels.items()},
        facts=drawn.facts,
        name=f"{PHANTOM_GROUP} {seed}",
        lesion_map=drawn.lesion_map,
    )


def _masks(values: Integer[np.ndarray, "i j k"], names: Mapping[int, str]) -> dict[str, Bool[np.ndarray, "i j k"]]:
    """Masks of the names that the vocabulary knows."""
    known = {value: found.key for value, name in names.items() if (found := vocabulary.lookup(name)) is not None}
    return wholes.masks(values, known)
