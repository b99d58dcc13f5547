"""The labels that annotators submitted as final, with the name of each value: exports and trainings start here.

Names, not values, carry the meaning: two scans may use value 1 for different structures. What a label means is decided
in :mod:`medvlsam2.data.labels.submission`, as at its submission; which file and which names belong together is decided
here, for a studies folder without a server (:func:`final_labels`) and for the datastore of a running one.

A studies folder is the host's local datastore: ``datastore_v2.json`` lists images and labels, ``labels/final/`` holds
the label maps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medvlsam2.data.labels.scan_geometry import ScanGeometry, read_geometry
from medvlsam2.data.labels.submission import CheckedLabel, check_label
from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies.index import INDEX, LABELS, DamagedIndex, Entry, ImageEntry, StudiesIndex, read_index
from medvlsam2.data.studies.label_place import label_suffix
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.local_scans import list_scans
from medvlsam2.data.studies.versions import Content, has_content
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DatasetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinalLabel:
    """One image with a label that an annotator submitted; nothing of it is read yet."""

    image_id: str
    image_path: Path
    label_path: Path
    label_info: Any
    """As its client sent it."""
    patient_id: str
    """Images with one id are of one patient. It is for splits alone: never written, never logged."""
    content: Content | None = None
    """What the label's file held when its names were looked up; None where nobody submitted it here."""

    def read(self) -> tuple[CTVolume, CheckedLabel]:
        """The scan and its label on the scan's grid, every value of which is named.

        Raises:
            UnreadableVolume: if one of them cannot be read.
            GeometryMismatch: if they do not lie on one grid.
            DatasetError: if the label is empty, or its label_info malformed or not certain, or if another label was
                submitted since this one was listed.
        """
        volume = read_volume(self.image_path, self.image_id)
        return volume, self._on(ScanGeometry(volume.shape_ijk, volume.affine, self.image_id))

    def check(self) -> CheckedLabel:
        """As :meth:`read`, from the scan's headers alone: its voxels may be damaged still."""
        return self._on(read_geometry(self.image_path, self.image_id))

    def _on(self, scan: ScanGeometry) -> CheckedLabel:
        checked = check_label(self.label_path, self.label_info, scan)
        if self.content is not None and not has_content(self.label_path, self.content):
            raise DatasetError(
                f"The label of image '{self.image_id}' was submitted again while it was read: its names may be those "
                "of other voxels. Start again."
            )
        return checked


def patient_of(image_info: Mapping[str, Any], image_id: str) -> str:
    """The patient of an image: what its DICOM headers or its client told, else the image is a patient of its own."""
    return str(image_info.get("PatientID") or image_id)


def final_labels(studies: Path | str) -> list[FinalLabel]:
    """All images with a final label, by image id.

    Raises:
        DatasetError: if the folder is no MONAI Label studies folder, or holds no final label.
    """
    studies = Path(studies)
    shelf = LabelShelf(studies / LABELS)
    index = _index(studies, shelf)
    found = [
        final_label(
            shelf,
            image_id,
            _image_path(studies, index, image_id),
            image_info=item.image.info,
            entry=item.labels[FINAL],
        )
        for image_id, item in sorted(index.objects.items())
        if FINAL in item.labels
    ]
    if not found:
        raise DatasetError(
            f"'{studies}' lists {len(index.objects)} images and no final label. Submit labels first: only final "
            "ones are exported."
        )
    return found


def _image_path(studies: Path, index: StudiesIndex, image_id: str) -> Path:
    image = index.objects[image_id].image
    return studies / index.images_dir / (image.file or f"{image_id}{image.ext}")


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


def final_label(
    shelf: LabelShelf, image_id: str, image_path: Path, *, image_info: Mapping[str, Any], entry: Entry
) -> FinalLabel:
    """The final label of one image; what is wrong with it shows when it is read, and ends nothing else.

    Args:
        shelf: all labels of the studies folder.
        image_id: the image.
        image_path: its file or folder.
        image_info: what is told about the image.
        entry: the label in the index. Its names count only where no record is kept with the file itself: names belong
            to the very file that they were submitted with.
    """
    kept = shelf.place(image_id, FINAL).current()
    version = kept.version if kept else None
    info = version.info if version else entry.info
    return FinalLabel(
        image_id=image_id,
        image_path=image_path,
        label_path=kept.path if kept else shelf.folder / FINAL / f"{image_id}{entry.ext}",
        label_info=info.get("label_info"),
        patient_id=patient_of(image_info, image_id),
        content=version.content if version else None,
    )
