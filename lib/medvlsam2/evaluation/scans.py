"""Scans whose truth is known: real ones by their labels, phantoms by how they were made.

A structure that was not contoured is not in ``truth``: it is never asked for as if it were absent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.language import anatomy
from medvlsam2.data.manifest_layouts import PARTLY_CONTOURED
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DatasetError
from medvlsam2.geometry import require_same_grid

PHANTOM_GROUP: Final = "phantom"
FIRST_PHANTOM_SEED: Final = 500_000
"""Training draws phantoms from seed 1,000 on; these are never trained on."""
WHOLES: Final = ("vertebrae", "ribs")
"""Asked for as the union of those parts that were contoured."""
_LABEL_FILES: Final = (("label.nii.gz", "labels"), ("auto_lungs.nii.gz", "auto_labels"))
"""Label map and where ``meta.json`` names its values: labels by people or other models, then pseudo labels."""


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


def case_ids(data: Path, split: str) -> list[str]:
    """Scans of a split that have labels, in the order of ``split.json``.

    Raises:
        DatasetError: if the folder has no ``split.json``, or the split is not in it.
    """
    path = data / "split.json"
    if not path.is_file():
        raise DatasetError(f"'{data}' holds no split.json. Give a folder with ct/ and split.json.")
    splits = json.loads(path.read_text(encoding="utf-8"))
    if split not in splits:
        raise DatasetError(f"There is no split '{split}' in '{path.name}'. Choose one of {', '.join(splits)}.")
    return [case for case in splits[split] if _label_file(data / "ct" / case) is not None]


def read_scan(data: Path, case_id: str) -> LabelledScan:
    """Read one scan of ``ct/<case>/`` with its labels.

    Raises:
        UnreadableVolume, GeometryMismatch: if a file is damaged or its labels lie on another grid.
    """
    folder = data / "ct" / case_id
    volume = read_volume(folder / "image.nii.gz", image_id=case_id)
    found = _label_file(folder)
    if found is None:
        raise DatasetError(f"'{case_id}' has no label map. Choose a case of {', '.join(n for n, _ in _LABEL_FILES)}.")
    file, names = found
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    label_map = read_label_map(folder / file)
    require_same_grid(
        f"Label map of '{case_id}'", volume.shape_ijk, volume.affine, label_map.values.shape, label_map.affine
    )
    is_pseudo = names != "labels"
    source = case_id.split("_", maxsplit=1)[0]
    return LabelledScan(
        volume,
        patient=case_id,
        group=f"{source} (pseudo truth)" if is_pseudo else source,
        truth=_masks(label_map.values, meta[names], PARTLY_CONTOURED.get(case_id, ())),
        is_pseudo=is_pseudo,
    )


def draw_phantom(seed: int) -> LabelledScan:
    """Draw one phantom as a scan of which everything is known."""
    drawn = phantom.generate(seed)
    return LabelledScan(
        drawn.volume,
        patient=drawn.volume.image_id,
        group=PHANTOM_GROUP,
        truth={key: drawn.label_map == value for value, key in drawn.labels.items()},
        facts=drawn.facts,
        lesion_map=drawn.lesion_map,
    )


def _label_file(folder: Path) -> tuple[str, str] | None:
    return next((found for found in _LABEL_FILES if (folder / found[0]).is_file()), None)


def _masks(
    values: Integer[np.ndarray, "i j k"], names: Mapping[str, str], left_out: Collection[str]
) -> dict[str, Bool[np.ndarray, "i j k"]]:
    """Masks of the names that the vocabulary knows."""
    found = {}
    for value, name in names.items():
        structure = vocabulary.lookup(name)
        if structure is not None and name not in left_out:
            found[structure.key] = values == int(value)
    return found
