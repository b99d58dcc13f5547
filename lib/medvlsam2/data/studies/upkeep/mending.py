"""Makes an index agree with the files: new and vanished scans, labels that a person copied in, names from records."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medvlsam2 import atomic_files
from medvlsam2.data.studies import incoming
from medvlsam2.data.studies.index import Entry, ImageEntry, StudiesIndex
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.scan_list import FoundScan, ScanList
from medvlsam2.data.studies.versions import VERSIONS
from medvlsam2.errors import StorageFull

logger = logging.getLogger(__name__)

SeenLabels = MutableMapping[tuple[str, str], tuple[tuple[str, int, int], ...]]
"""By tag and image id: name, size and time of change of the label files that the index already agrees with."""


@dataclass(frozen=True)
class Mended:
    """How much an index holds after mending."""

    images: int
    labels: int
    named: int


def mend(index: StudiesIndex, found: ScanList, shelf: LabelShelf, seen: SeenLabels) -> Mended:
    """Change an index, and give labels without a record one.

    Args:
        index: is changed.
        found: the scans of the folder.
        shelf: the labels of the folder.
        seen: labels that were compared before and have not changed since; is filled.
    """
    _mend_images(index, found)
    files = {tag: shelf.files(tag) for tag in shelf.tags()}
    for image_id, item in index.objects.items():
        for tag in [tag for tag in item.labels if image_id not in files.get(tag, {})]:
            del item.labels[tag]
            seen.pop((tag, image_id), None)
    for tag, by_image in files.items():
        for image_id in by_image.keys() & index.objects.keys():
            stamps = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in by_image[image_id])
            if seen.get((tag, image_id)) != stamps or tag not in index.objects[image_id].labels:
                _mend_label(index.objects[image_id], tag, image_id, shelf)
                seen[tag, image_id] = stamps
    there = [entry for item in index.objects.values() for entry in item.labels.values()]
    return Mended(len(index.objects), len(there), sum(bool(entry.info.get("label_info")) for entry in there))


def remove_partial_files(root: Path, shelf: LabelShelf) -> None:
    """Remove half-written files and uploads of processes that were killed; call it with the folder's lock held."""
    incoming.remove_abandoned(root)
    folders = [root]
    for tag in shelf.tags():
        versions = shelf.folder / tag / VERSIONS
        folders += [shelf.folder / tag, *(versions.iterdir() if versions.is_dir() else ())]
    for folder in folders:
        for path in folder.glob(f"{atomic_files.PARTIAL_PREFIX}*"):
            with suppress(OSError):
                path.unlink()


def _mend_images(index: StudiesIndex, found: ScanList) -> None:
    for image_id in [image_id for image_id in index.objects if image_id not in found.scans]:
        logger.info("An image is no longer in the folder; its labels stay in theirs")  # an id may hold a patient's name
        del index.objects[image_id]
    for image_id, scan in found.scans.items():
        item = index.objects.setdefault(image_id, ImageEntry())
        item.image = _image_entry(image_id, scan, item.image)


def _image_entry(image_id: str, scan: FoundScan, known: Entry) -> Entry:
    info = {**known.info, "name": Path(scan.file).name}
    info.setdefault("ts", int(time.time()))
    return Entry(scan.ext, info, file="" if scan.file == f"{image_id}{scan.ext}" else scan.file)


def _mend_label(item: ImageEntry, tag: str, image_id: str, shelf: LabelShelf) -> None:
    place = shelf.place(image_id, tag)
    label = place.require()
    known = item.labels.get(tag)
    if label.version is not None:
        info = dict(label.version.info)
    elif place.versions_folder.is_dir():
        logger.warning(
            "A label under tag '%s' was changed outside of the server: the names of its values are not known any more. "
            "Submit it again with names, or restore an earlier version; `medvlsam2 doctor` tells which it is",
            tag,
        )  # fmt: skip
        info = {}
    else:
        info = known.info if known is not None and known.ext == label.ext else {}
    info = {"ts": int(label.path.stat().st_mtime), "name": label.path.name, **info}
    if label.version is None or len(place.files()) > 1:
        try:
            place.adopt(info)
        except StorageFull as error:
            logger.warning("A label under tag '%s' has no record yet (%s)", tag, type(error).__name__)
    item.labels[tag] = Entry(label.ext, info)
