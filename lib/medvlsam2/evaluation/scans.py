"""Scans whose truth is known: real ones by their labels, phantoms by how they were made.

A structure that was not contoured is not in ``truth``: it is never asked for as if it were absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.datasets.label_facts import facts_of_labels
from medvlsam2.data.datasets.layouts import scan_folder
from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.labels import wholes
from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.labels.submission import read_label_on_scan
from medvlsam2.data.language import anatomy
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DatasetError, InvalidRequest

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


def list_scans(data: Path, split: str) -> list[ScanRecord]:
    """Scans of a split that have labels, in any layout that a manifest can be made of.

    Raises:
        DatasetError: if the folder has no known layout, or no labelled scan in that split.
    """
    _, records = scan_folder(data)
    labelled = [record for record in records if record.label is not None or _pseudo_label(record) is not None]
    found = [record for record in labelled if record.split == split]
    if not found:
        splits = sorted({record.split for record in labelled if record.split is not None})
        raise DatasetError(f"No labelled scan of split '{split}' in '{data}'. Choose one of: {', '.join(splits)}.")
    return found


def chosen(records: Sequence[ScanRecord], groups: Sequence[str], limit: int | None) -> list[ScanRecord]:
    """Scans of the wanted sources (all, where none is named), up to a number of each source.

    Raises:
        InvalidRequest: if a wanted source has no scan.
    """
    by_source: dict[str, list[ScanRecord]] = {}
    for record in records:
        by_source.setdefault(source(record), []).append(record)
    for group in groups:
        if group not in by_source:
            raise InvalidRequest(f"There are no scans of '{group}'. Choose from {', '.join(by_source)}.")
    return [record for name in groups or by_source for record in by_source[name][:limit]]


def read_scan(record: ScanRecord) -> LabelledScan:
    """Read one listed scan with its labels.

    Raises:
        UnreadableVolume, GeometryMismatch: if a file is damaged or its labels lie on another grid.
    """
    volume = read_volume(record.image, image_id=record.case_id)
    is_pseudo = record.label is None
    label, names = (_pseudo_label(record) if is_pseudo else None) or (record.label, record.known_names)
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
    )


def source(record: ScanRecord) -> str:
    """Scans of one source are averaged: the part of a case's id before its first "_".

    Example:
        >>> source(ScanRecord(case_id="OKBP_201", patient_id="1", image=Path("image.nii.gz")))
        'OKBP'
    """
    return record.case_id.split("_")[0]


def draw_phantom(seed: int, config: phantom.PhantomConfig | None = None) -> LabelledScan:
    """Draw one phantom as a scan of which everything is known."""
    drawn = phantom.generate(seed, config or phantom.PhantomConfig())
    return LabelledScan(
        drawn.volume,
        patient=drawn.volume.image_id,
        group=PHANTOM_GROUP,
        truth={key: drawn.label_map == value for value, key in drawn.labels.items()},
        facts=drawn.facts,
        lesion_map=drawn.lesion_map,
    )


def _pseudo_label(record: ScanRecord) -> tuple[Path, dict[int, str]] | None:
    """Label map made by a threshold, and the names of its values."""
    label, card = record.image.with_name("auto_lungs.nii.gz"), record.image.with_name("meta.json")
    if not (label.is_file() and card.is_file()):
        return None
    names = json.loads(card.read_text(encoding="utf-8"))["auto_labels"]
    return label, {int(value): name for value, name in names.items()}


def _masks(values: Integer[np.ndarray, "i j k"], names: Mapping[int, str]) -> dict[str, Bool[np.ndarray, "i j k"]]:
    """Masks of the names that the vocabulary knows."""
    known = {value: found.key for value, name in names.items() if (found := vocabulary.lookup(name)) is not None}
    return wholes.masks(values, known)
