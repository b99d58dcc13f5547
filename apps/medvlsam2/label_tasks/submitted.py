"""Labels that annotators submitted, with the name of each value: what fine-tuning and export start from.

Names, not values, carry the meaning: two scans may use value 1 for different structures. They come from the
label file's own header, else from the ``label_info`` that the client sent along. There, Slicer counts the
segments that it left out, while the file counts only those it holds; a client of the API usually sends the
file's values. Where both readings are possible and disagree, the label is left out rather than mislearned.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from medvlsam2.data.label_maps import read_label_map
from medvlsam2.errors import DatasetError, MedVLSAM2Error

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SubmittedLabel:
    """One final label and what its values mean."""

    image_id: str
    image_path: Path
    label_path: Path
    names: dict[int, str]
    patient_id: str


def submitted_labels(datastore: Datastore) -> tuple[list[SubmittedLabel], list[str]]:
    """All usable final labels, and a sentence for each that is not."""
    labels: list[SubmittedLabel] = []
    left_out: list[str] = []
    for image_id in sorted(datastore.list_images()):
        if DefaultLabelTag.FINAL.value not in datastore.get_labels_by_image_id(image_id):
            continue
        try:
            labels.append(_submitted(image_id, datastore))
        except MedVLSAM2Error as error:
            left_out.append(str(error))
            logger.warning("Left out: %s", error)
    return labels, left_out


def names_of_values(image_id: str, present: Iterable[int], label_info: list[Mapping[str, Any]]) -> dict[int, str]:
    """What the values of a label file mean.

    Args:
        image_id: for the message.
        present: values in the file, without 0.
        label_info: what the client sent: ``name`` and ``idx`` (or ``labelID``, ``id``) per segment, in order.

    Raises:
        DatasetError: if they cannot be named for certain.

    Example:
        >>> names_of_values("a", [1, 2], [{"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}])
        {1: 'liver', 2: 'spleen'}
    """
    values = sorted(set(present))
    by_place = {place: str(item.get("name", "")) for place, item in enumerate(label_info, start=1)}
    by_index = {_index(item, place): str(item.get("name", "")) for place, item in enumerate(label_info, start=1)}
    readings = [
        {value: names[value] for value in values} for names in (by_index, by_place) if all(map(names.get, values))
    ]
    if not readings or any(reading != readings[0] for reading in readings):
        raise DatasetError(
            f"The label of image '{image_id}' holds the values {values}, and its label_info "
            f"{[dict(item) for item in label_info]} does not say for certain what they mean. Submit it "
            "again with one name per value, e.g. [{'name': 'liver', 'idx': 1}]."
        )
    return readings[0]


def _submitted(image_id: str, datastore: Datastore) -> SubmittedLabel:
    path = _label_path(image_id, datastore)
    label_map = read_label_map(path)
    present = [int(value) for value in np.unique(label_map.values) if value]
    if not present:
        raise DatasetError(
            f"The label of image '{image_id}' is empty. Nothing can be learned from it; paint something."
        )
    if label_map.names and all(value in label_map.names for value in present):
        names = {value: label_map.names[value] for value in present}
    else:
        info = datastore.get_label_info(image_id, DefaultLabelTag.FINAL.value)
        names = names_of_values(image_id, present, info.get("label_info") or [])
    image_info = datastore.get_image_info(image_id)
    return SubmittedLabel(
        image_id=image_id,
        image_path=Path(datastore.get_image_uri(image_id)),
        label_path=path,
        names=names,
        patient_id=str(image_info.get("PatientID") or image_id),
    )


def _label_path(image_id: str, datastore: Datastore) -> Path:
    tag = DefaultLabelTag.FINAL.value
    if isinstance(datastore, DICOMWebDatastore):
        return Path(LocalDatastore.get_label_uri(datastore, image_id, tag))  # the cached file, not the DICOM SEG
    return Path(datastore.get_label_uri(image_id, tag))


def _index(item: Mapping[str, Any], place: int) -> int:
    for key in ("idx", "labelID", "id"):
        if isinstance(item.get(key), int):
            return int(item[key])
    return place
