"""The final labels of the server's datastore that fine-tuning can use; see :mod:`medvlsam2.data.final_labels`."""

from __future__ import annotations

import logging
from pathlib import Path

from monailabel.interfaces.datastore import Datastore

from label_tasks.logs.short_ids import anonymous
from label_tasks.store.scan_folder import ScanFolder
from medvlsam2.data.final_labels import FinalLabel, final_label, patient_of
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies.index import Entry
from medvlsam2.errors import MedVLSAM2Error

logger = logging.getLogger(__name__)


def submitted_labels(datastore: Datastore) -> tuple[list[FinalLabel], list[str]]:
    """All usable final labels, and a sentence for each that is not."""
    labels: list[FinalLabel] = []
    left_out: list[str] = []
    for image_id in sorted(datastore.list_images()):
        if FINAL not in datastore.get_labels_by_image_id(image_id):
            continue
        try:
            label = _final_label(datastore, image_id)
            label.check()
            labels.append(label)
        except MedVLSAM2Error as error:
            left_out.append(str(error))
            logger.warning("Left out: %s", anonymous(str(error), image_id))
    return labels, left_out


def _final_label(datastore: Datastore, image_id: str) -> FinalLabel:
    """A final label; a PACS is asked for the scan, and for a label that it alone has."""
    label_path = Path(datastore.get_label_uri(image_id, FINAL))
    image_path = Path(datastore.get_image_uri(image_id))
    image_info = datastore.get_image_info(image_id)
    if isinstance(datastore, ScanFolder):
        entry = datastore.folder.require(image_id).labels.get(FINAL, Entry())
        return final_label(datastore.folder.shelf, image_id, image_path, image_info=image_info, entry=entry)
    label_info = datastore.get_label_info(image_id, FINAL).get("label_info")
    return FinalLabel(image_id, image_path, label_path, label_info, patient_of(image_info, image_id))
