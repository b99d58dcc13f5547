"""Labels that annotators submitted, with the name of each value: what fine-tuning and export start from.

Names, not values, carry the meaning: two scans may use value 1 for different structures. What a label means is decided
in ``medvlsam2.data.labels.submission``, as at submission and for the export.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from label_tasks.logs.short_ids import anonymous
from medvlsam2.data.labels.submission import check_submission
from medvlsam2.errors import MedVLSAM2Error

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
            logger.warning("Left out: %s", anonymous(str(error), image_id))
    return labels, left_out


def _submitted(image_id: str, datastore: Datastore) -> SubmittedLabel:
    path = Path(datastore.get_label_uri(image_id, DefaultLabelTag.FINAL.value))
    image_path = Path(datastore.get_image_uri(image_id))
    info = datastore.get_label_info(image_id, DefaultLabelTag.FINAL.value)
    label_info = info.get("label_info") if isinstance(info, Mapping) else info
    checked = check_submission(path, label_info, image_path, image_id)
    image_info = datastore.get_image_info(image_id)
    return SubmittedLabel(
        image_id=image_id,
        image_path=image_path,
        label_path=path,
        names=dict(checked.names),
        patient_id=str(image_info.get("PatientID") or image_id),
    )
