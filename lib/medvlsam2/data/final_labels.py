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

import numpy as np

from medvlsam2 import geometry
from medvlsam2.data.label_info import names_of_values
from medvlsam2.data.label_maps import LabelMap, read_label_map
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
    label_info: tuple[Mapping[str, Any], ...]

    def read(self) -> tuple[CTVolume, LabelMap]:
        """The scan and its label map, every value of which is named.

        Raises:
            UnreadableVolume: if one of them cannot be read.
            GeometryMismatch: if they do not lie on one grid.
            DatasetError: if the label is empty or a value cannot be named for certain.
        """
        label = read_label_map(self.label_path)
        values = [int(value) for value in np.unique(label.values) if value]
        if not values:
            raise DatasetError(f"The label of image '{self.image_id}' is empty. Paint something and submit it again.")
        in_header = all(label.names.get(value) for value in values)
        names = (
            {value: label.names[value] for value in values}
            if in_header
            else names_of_values(self.image_id, values, self.label_info)
        )
        volume = read_volume(self.image_path, self.image_id)
        what = f"The label of image '{self.image_id}'"
        geometry.require_same_grid(what, volume.shape_ijk, volume.affine, label.values.shape, label.affine)
        return volume, LabelMap(label.values, label.affine, names)


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
    label = item["labels"][FINAL]
    images = studies / record.get("images_dir", ".")
    labels = studies / record.get("labels_dir", "labels") / FINAL
    return FinalLabel(
        image_id=image_id,
        image_path=images / f"{image_id}{item['image'].get('ext', '')}",
        label_path=labels / f"{image_id}{label.get('ext', '')}",
        label_info=tuple(label.get("info", {}).get("label_info") or ()),
    )
