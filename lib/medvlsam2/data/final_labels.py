"""The final labels in a MONAI Label studies folder, read from its files alone: no server need run.

The folder is the host's local datastore: ``datastore_v2.json`` lists images and labels, ``labels/final/`` holds the
label maps. Names, not values, carry the meaning: two scans may use value 1 for different structures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.labels.submission import CheckedLabel, check_label
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DatasetError

INDEX: Final = "datastore_v2.json"
FINAL: Final = "final"


@dataclass(frozen=True)
class FinalLabel:
    """One image with a label that an annotator submitted; nothing of it is read yet."""

    image_id: str
    image_path: Path
    label_path: Path
    label_info: Any
    """As its client sent it."""

    def read(self) -> tuple[CTVolume, CheckedLabel]:
        """The scan and its label on the scan's grid, every value of which is named.

        Raises:
            UnreadableVolume: if one of them cannot be read.
            GeometryMismatch: if they do not lie on one grid.
            DatasetError: if the label is empty, or its label_info malformed or not certain.
        """
        volume = read_volume(self.image_path, self.image_id)
        scan = ScanGeometry(volume.shape_ijk, volume.affine, self.image_id)
        return volume, check_label(self.label_path, self.label_info, scan)


def final_labels(studies: Path | str) -> list[FinalLabel]:
    """All images with a final label, by image id.

    Raises:
        DatasetError: if the folder is no MONAI Label studies folder, or holds no final label.
    """
    studies = Path(studies)
    index = studies / INDEX
    if not index.is_file():
        raise DatasetError(
            f"'{studies}' holds no {INDEX}. Give the studies folder of a MONAI Label server, after labels "
            "were submitted."
        )
    try:
        record = json.loads(index.read_text(encoding="utf-8"))
        found = [
            _final_label(studies, record, image_id, item)
            for image_id, item in sorted(record["objects"].items())
            if FINAL in item.get("labels", {})
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"'{index}' is damaged ({type(error).__name__}: {error}). Restore it, or let a MONAI Label server "
            "rebuild it."
        ) from error
    if not found:
        raise DatasetError(
            f"'{studies}' lists {len(record['objects'])} images and no final label. Submit labels first: only final "
            "ones are exported."
        )
    return found


def _final_label(studies: Path, record: Mapping[str, Any], image_id: str, item: Mapping[str, Any]) -> FinalLabel:
    """One entry of the index; what is wrong with a label alone shows when it is read, and ends nothing else."""
    label = item["labels"][FINAL]
    label = label if isinstance(label, Mapping) else {}
    info = label.get("info")
    images = studies / record.get("images_dir", ".")
    labels = studies / record.get("labels_dir", "labels") / FINAL
    return FinalLabel(
        image_id=image_id,
        image_path=images / f"{image_id}{item['image'].get('ext', '')}",
        label_path=labels / f"{image_id}{label.get('ext', '')}",
        label_info=info.get("label_info") if isinstance(info, Mapping) else info,
    )
