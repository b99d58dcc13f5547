"""The final labels in a MONAI Label studies folder, read from its files alone: no server need run.

The folder is the host's local datastore: ``datastore_v2.json`` lists images and labels, ``labels/final/`` holds the
label maps. Names, not values, carry the meaning: two scans may use value 1 for different structures.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.labels.submission import CheckedLabel, check_label
from medvlsam2.data.readers import read_volume
from medvlsam2.data.studies.index import INDEX, LABELS, DamagedIndex, Entry, ImageEntry, StudiesIndex, read_index
from medvlsam2.data.studies.label_place import label_suffix
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.local_scans import list_scans
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DatasetError

logger = logging.getLogger(__name__)

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
    shelf = LabelShelf(studies / LABELS)
    index = _index(studies, shelf)
    found = [
        _final_label(studies, shelf, index, image_id)
        for image_id, item in sorted(index.objects.items())
        if FINAL in item.labels
    ]
    if not found:
        raise DatasetError(
            f"'{studies}' lists {len(index.objects)} images and no final label. Submit labels first: only final "
            "ones are exported."
        )
    return found


def _index(studies: Path, shelf: LabelShelf) -> StudiesIndex:
    """The folder's index, with the labels that it has lost; it is not written."""
    labels = shelf.files(FINAL) if FINAL in shelf.tags() else {}
    try:
        index = read_index(studies / INDEX)
    except (FileNotFoundError, DamagedIndex) as error:
        if not labels:
            raise DatasetError(
                f"'{studies}' holds no {INDEX} that can be read, and no labels. Give the studies folder of a MONAI "
                "Label server, after labels were submitted."
            ) from error
        logger.warning("The index '%s' is missing or damaged: the labels are taken from their files", INDEX)
        index = StudiesIndex()
    lost = labels.keys() - index.objects.keys()
    for image_id, scan in (list_scans(studies / index.images_dir).scans if lost else {}).items():
        if image_id in lost:
            entry = Entry(label_suffix(labels[image_id][0].name))
            index.objects[image_id] = ImageEntry(Entry(scan.ext, {}, scan.file), {FINAL: entry})
    return index


def _final_label(studies: Path, shelf: LabelShelf, index: StudiesIndex, image_id: str) -> FinalLabel:
    """One entry of the index; what is wrong with a label alone shows when it is read, and ends nothing else.

    The names are those that were submitted with the very file that is there, whatever the index still says.
    """
    item = index.objects[image_id]
    entry = item.labels[FINAL]
    kept = shelf.place(image_id, FINAL).current()
    info = kept.version.info if kept and kept.version else entry.info
    return FinalLabel(
        image_id=image_id,
        image_path=studies / index.images_dir / (item.image.file or f"{image_id}{item.image.ext}"),
        label_path=kept.path if kept else shelf.folder / FINAL / f"{image_id}{entry.ext}",
        label_info=info.get("label_info"),
    )
