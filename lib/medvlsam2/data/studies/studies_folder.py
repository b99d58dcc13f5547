"""A studies folder that several servers may change: every change is made completely or not at all, and none is lost.

A change takes the lock, reads the index again if another process wrote it, writes everything new under other names, and
then renames the label and the index into place. If the process is killed before the renames, nothing has changed. If it
is killed between them, the label is there with its own names (``versions``), and the index is mended when the folder is
read next.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from medvlsam2 import atomic_files
from medvlsam2.data.reading.plain_names import FINAL, alike
from medvlsam2.data.studies import incoming, refused
from medvlsam2.data.studies.bounds import forget_old_results, require_bounded, without_mark
from medvlsam2.data.studies.index import LABELS, Entry, ImageEntry, StudiesIndex, strict_json
from medvlsam2.data.studies.label_place import LABEL_SUFFIXES, LabelFile, own_suffix
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.scan_list import ScanLister
from medvlsam2.data.studies.upkeep.kept_index import KeptIndex
from medvlsam2.data.studies.versions import LabelVersion
from medvlsam2.errors import AlreadyThere, InvalidRequest, UnknownImage, nearest_hint

logger = logging.getLogger(__name__)

REMOVED: Final = ".removed"
"""Folder of scans that were removed over HTTP: a request never destroys the only copy of a scan. Empty it by hand."""

TAGS: Final = (FINAL, "original")
"""Folders that the host makes at the start, so that people see where labels belong."""


class StudiesFolder:
    """A folder of scans, their labels and the index of both.

    Args:
        root: the folder. It must exist.
        list_scans: what in it is a scan.
    """

    def __init__(self, root: Path, list_scans: ScanLister) -> None:
        self.root = root
        self.shelf = LabelShelf(root / LABELS)
        for tag in TAGS:
            atomic_files.make_folder(self.shelf.folder / tag)
        self._kept = KeptIndex(root, self.shelf, list_scans)

    def index(self) -> StudiesIndex:
        """The images and labels of the folder, including changes of other servers. Do not change the result."""
        return self._kept.now()

    def refresh(self) -> None:
        """Read the folder again, to find scans and labels that people copied into it or removed."""
        self._kept.refresh()

    def require(self, image_id: str) -> ImageEntry:
        """What is known of an image.

        Raises:
            UnknownImage: if the folder does not hold it.
        """
        return _require(self.index(), image_id)

    def image_path(self, image_id: str) -> Path:
        """File or folder of an image.

        Raises:
            UnknownImage: if the folder does not hold it.
        """
        entry = self.require(image_id).image
        return self.root / self.index().images_dir / (entry.file or f"{image_id}{entry.ext}")

    def image_parts(self, image_id: str) -> list[Path]:
        """Every file and folder of an image: a header and its voxels, the slices of a series.

        Raises:
            UnknownImage: if the folder does not hold it.
        """
        path = self.image_path(image_id)
        found = self._kept.scans().scans.get(image_id)
        return [path.with_name(part) for part in found.parts] if found and found.parts else [path]

    def label(self, image_id: str, tag: str) -> LabelFile:
        """The current label of an image, and the record with its names.

        Raises:
            UnknownLabel: if there is none.
        """
        return self.shelf.place(image_id, tag).require()

    def label_info(self, image_id: str, tag: str) -> dict[str, Any]:
        """The info of a label; it always belongs to the voxels of the current file.

        Raises:
            UnknownLabel: if there is none.
        """
        label = self.label(image_id, tag)
        return copy.deepcopy(dict(label.version.info)) if label.version else {}

    def put_label(
        self, image_id: str, tag: str, source: Path, ext: str, info: Mapping[str, Any], *, sent: Path | None = None
    ) -> None:
        """Store a label. What was the label before stays among its versions.

        Args:
            image_id: its scan.
            tag: its kind.
            source: the file.
            ext: suffix that it gets, or the one that :func:`own_suffix` gives in its place.
            info: what was told with it.
            sent: the file that came, where ``source`` is that written anew; it is kept with the version.

        Raises:
            InvalidRequest: if the suffix is not one of LABEL_SUFFIXES.
            UnknownImage: if the folder does not hold the image.
            StorageFull: if there is no room. Nothing was changed.
        """
        if ext not in LABEL_SUFFIXES:
            raise InvalidRequest(f"A label file ends in {ext!r}; allowed are {', '.join(LABEL_SUFFIXES)}.")
        ext = own_suffix(image_id, ext)
        with self._kept.changing() as index:
            item = _require(index, image_id)
            told = {**strict_json(info), "ts": int(time.time()), "name": f"{image_id}{ext}"}
            with self.shelf.place(image_id, tag).putting(source, ext, told, sent) as prepared:
                item.labels[tag] = Entry(ext, told)
                self._kept.write(index, before_rename=prepared.commit)
            forget_old_results(self.shelf.place(image_id, tag))

    def update_label_info(self, image_id: str, tag: str, changes: Mapping[str, Any]) -> None:
        """Change what is told about a label. The label with what was told before stays among its versions.

        Raises:
            UnknownImage: if the folder does not hold the image.
            UnknownLabel: if there is no such label.
            DatasetError: if more than MAX_INFO_BYTES would be told. Nothing was changed.
            StorageFull: if there is no room. Nothing was changed.
        """
        with self._kept.changing() as index:
            item = _require(index, image_id)
            before = self.label_info(image_id, tag)
            told = {**before, **strict_json(changes)}
            if told == before:
                return
            told = without_mark(told)
            require_bounded("label", image_id, told)
            item.labels[tag] = Entry(self.label(image_id, tag).ext, told)
            self._kept.write(index, before_rename=lambda: self.shelf.place(image_id, tag).set_info(told))

    def restore_label(self, image_id: str, tag: str, number: int) -> LabelVersion:
        """Make an earlier version the label again, as a new version with the names it had.

        Raises:
            UnknownImage: if the folder does not hold the image.
            UnknownLabel: if there is no such version.
            StorageFull: if there is no room. Nothing was changed.
        """
        with self._kept.changing():
            path, version = self.shelf.place(image_id, tag).version_file(number)
            self.put_label(image_id, tag, path, version.ext, {**without_mark(version.info), "restored_from": number})
            return version

    def remove_label(self, image_id: str, tag: str) -> None:
        """Take a label away. Its versions stay and can be restored.

        Raises:
            UnknownImage: if the folder does not hold the image.
            UnknownLabel: if there is no such label.
            StorageFull: if there is no room. Nothing was changed.
        """
        with self._kept.changing() as index:
            item = _require(index, image_id)
            place = self.shelf.place(image_id, tag)
            place.require()
            item.labels.pop(tag, None)
            self._kept.write(index, before_rename=place.remove)

    def add_image(self, image_id: str, source: Path, ext: str, info: Mapping[str, Any]) -> None:
        """Move a scan into the folder under a name that no scan has.

        Args:
            image_id: its id.
            source: the file, on the same file system. It is gone afterwards.
            ext: its suffix.
            info: what the client sent along.

        Raises:
            AlreadyThere: if an image has the id, or one that some disks take for the same. Nothing was changed.
            StorageFull: if there is no room. Nothing was changed.
        """
        self._kept.refresh()
        with self._kept.changing() as index:
            path = self.root / index.images_dir / f"{image_id}{ext}"
            if image_id in index.objects or path.exists():
                raise AlreadyThere(taken(image_id))
            for known in index.objects:
                if alike(known, image_id):
                    raise AlreadyThere(
                        f"Image '{image_id}' has nearly the id of '{known}', which is there: they differ only in "
                        "capitals or accents' coding, and some disks take both for one. Choose another id."
                    )
            told = {**strict_json(info), "ts": int(time.time()), "name": path.name}
            index.objects[image_id] = ImageEntry(Entry(ext, told))
            self._kept.write(index, before_rename=lambda: atomic_files.move_new(source, path))

    def remove_image(self, image_id: str) -> None:
        """Take an image away to REMOVED, and every version of its labels with it: they belong to no other scan.

        Raises:
            UnknownImage: if the folder does not hold it.
            StorageFull: if there is no room.
        """
        with self._kept.changing() as index:
            _require(index, image_id)
            labels = [path for tag in self.shelf.tags() for path in self.shelf.place(image_id, tag).everything()]
            scan = self.image_parts(image_id)
            del index.objects[image_id]
            kept = self.root / REMOVED / f"{time.time_ns()}-{image_id}"
            atomic_files.make_folder(kept, private=True)

            def take_away() -> None:
                for path in (*labels, *scan):
                    target = kept / path.relative_to(self.root)
                    atomic_files.make_folder(target.parent)
                    atomic_files.rename(path, target)

            self._kept.write(index, before_rename=take_away)

    def update_image_info(self, image_id: str, changes: Mapping[str, Any]) -> None:
        """Change what is told about an image.

        Raises:
            UnknownImage: if the folder does not hold it.
            DatasetError: if more than MAX_INFO_BYTES would be told. Nothing was changed.
            StorageFull: if there is no room. Nothing was changed.
        """
        with self._kept.changing() as index:
            entry = _require(index, image_id).image
            entry.info = {**entry.info, **strict_json(changes)}
            require_bounded("image", image_id, entry.info)
            self._kept.write(index)

    @contextmanager
    def incoming(self, name: str) -> Iterator[Path]:
        """A place for an upload, on the folder's file system, in a private folder that goes when the block ends.

        Args:
            name: a name of our own with the upload's suffix, as messages may show it.
        """
        with incoming.receiving(self.root, name) as arrived:
            yield arrived

    def keep_refused(self, source: Path, told: Mapping[str, Any]) -> None:
        """Keep what was submitted and refused, for a person to look at.

        Args:
            source: the file.
            told: why, and what was sent along.

        Raises:
            StorageFull: if there is no room.
        """
        refused.keep(self.root, source, strict_json(told))

    def rename(self, *, name: str | None = None, description: str | None = None) -> None:
        """Give the folder another name or description in its index.

        Raises:
            StorageFull: if there is no room. Nothing was changed.
        """
        with self._kept.changing() as index:
            index.name = name if name is not None else index.name
            index.description = description if description is not None else index.description
            self._kept.write(index)


def taken(image_id: str) -> str:
    """Why an image is not taken up under an id that another has."""
    return f"Image '{image_id}' exists, and a scan is never replaced. Choose another id."


def _require(index: StudiesIndex, image_id: str) -> ImageEntry:
    if image_id not in index.objects:
        raise UnknownImage(
            f"Image '{image_id}' is not in the datastore. {nearest_hint(image_id, index.objects)} It holds "
            f"{len(index.objects)} images; GET /datastore/?output=all lists them."
        )
    return index.objects[image_id]
