"""The index of a studies folder, kept in agreement with its files and with what other servers write.

Every change is made under the lock of the folder, on a copy of the index as it was read last. The file is replaced in
one step, and only then does the copy become the index.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medvlsam2 import atomic_files
from medvlsam2.data.studies.folder_lock import FolderLock
from medvlsam2.data.studies.index import INDEX, DamagedIndex, StudiesIndex, read_index
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.scan_list import ScanList, ScanLister
from medvlsam2.data.studies.upkeep import mending
from medvlsam2.errors import StorageFull

logger = logging.getLogger(__name__)


class KeptIndex:
    """The index of a folder. When it is opened, files that killed processes left half-written are removed.

    Args:
        root: the studies folder.
        shelf: its labels.
        list_scans: finds its scans.
    """

    def __init__(self, root: Path, shelf: LabelShelf, list_scans: ScanLister) -> None:
        self._root = root
        self._shelf = shelf
        self._list_scans = list_scans
        self._index_path = root / INDEX
        self._lock = FolderLock(root)
        self._stamp: tuple[int, int, int] | None = None
        self._unwritten = False
        self._labels_seen: mending.SeenLabels = {}
        with self._lock.held():
            mending.remove_partial_files(root, shelf)
            self._index = self._opened()
            self._mend()

    def now(self) -> StudiesIndex:
        """The index, including changes of other servers. Do not change the result."""
        if self._stamp != _stamp(self._index_path):
            with self._lock.held():
                self._read_again()
        return self._index

    def refresh(self) -> None:
        """Read the folder again, to find scans and labels that people copied into it or removed."""
        with self._lock.held():
            self._read_again()
            self._mend()

    @contextmanager
    def changing(self) -> Iterator[StudiesIndex]:
        """Hold the folder's lock, and give a copy of the index to change; :meth:`write` makes the change.

        Raises:
            FolderBusy: if another process holds the lock for long, or the folder is gone.
        """
        with self._lock.held():
            self._read_again()
            yield copy.deepcopy(self._index)

    def write(self, index: StudiesIndex, before_rename: Callable[[], object] | None = None) -> None:
        """Replace the index, with the lock held.

        Args:
            index: the new one.
            before_rename: called when the new file is on the disk; if it raises, the index stays as it is.

        Raises:
            StorageFull: if there is no room. Nothing was changed.
        """
        with atomic_files.replacing(self._index_path, before_rename=before_rename) as partial:
            partial.write_text(index.text(), encoding="utf-8")
        self._index = index
        self._stamp = _stamp(self._index_path)
        self._unwritten = False

    def scans(self) -> ScanList:
        """The scans that the folder holds now."""
        return self._list_scans(self._root / self._index.images_dir)

    def _opened(self) -> StudiesIndex:
        """The index as found; where it is damaged, one without what only it could tell."""
        try:
            index = read_index(self._index_path)
        except FileNotFoundError:
            return StudiesIndex()
        except DamagedIndex as error:
            aside = self._index_path.with_name(f"datastore_v2.damaged-{time.strftime('%Y%m%dT%H%M%S')}.json")
            atomic_files.rename(self._index_path, aside)
            logger.warning("The index '%s' is damaged (%s). It is kept as '%s'", INDEX, error, aside.name)
            return StudiesIndex()
        self._stamp = _stamp(self._index_path)
        return index

    def _mend(self) -> None:
        """Make the index agree with the files."""
        index = copy.deepcopy(self._index)
        before = index.text()
        was_absent = self._stamp is None
        told = mending.mend(index, self._list_scans(self._root / index.images_dir), self._shelf, self._labels_seen)
        if was_absent and told.labels:
            logger.warning(
                "The index '%s' was missing or damaged: it was rebuilt from the files, %d images and %d labels, of "
                "which %d have their names",
                INDEX, told.images, told.labels, told.named,
            )  # fmt: skip
        self._index = index
        if was_absent or self._unwritten or index.text() != before:
            try:
                self.write(index)
            except StorageFull as error:  # who only reads goes on with what is known
                self._unwritten = True
                logger.warning("The index '%s' could not be brought up to date: %s", INDEX, error)

    def _read_again(self) -> None:
        """Take up what another process wrote. An index that is gone or damaged is written anew from what is known."""
        if self._stamp == _stamp(self._index_path):
            return
        try:
            self._index = read_index(self._index_path)
            self._stamp = _stamp(self._index_path)
        except (FileNotFoundError, DamagedIndex) as error:
            logger.warning("The index '%s' was lost while the server ran (%s): it is written again", INDEX, error)
            self.write(self._index)
            self._mend()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes with every index that is renamed into place."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
