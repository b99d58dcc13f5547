"""Labels that annotators submitted, with the name of each value: what fine-tuning and export start from.

Names, not values, carry the meaning: two scans may use value 1 for different structures. They come from the
label file's own header, else from the ``label_info`` that the client sent along.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from medvlsam2.data.label_info import names_of_values
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
