"""Cache of the series of a PACS as folders of DICOM files; a series is complete or not there.

A series is fetched into a temporary folder, which is renamed when every instance that the PACS lists has arrived. A
manifest holds names and sizes of all files and is compared with the folder before every use. So a killed server, a
removed file or a full disk never leads to an answer from fewer slices. After each fetch, the series that were used
longest ago are removed if all series together exceed their disk budget (``kept.budget``).

The folder is private (mode 0700): it holds scans of patients. Its readers are those of any folder of DICOM files.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydicom
from filelock import Timeout
from pydicom.errors import InvalidDicomError

from label_tasks.pacs.dicomweb import INSTANCE_COUNT, INSTANCE_UID, SERIES_UID, UID, DicomWeb, PacsSilent, value
from label_tasks.pacs.kept.budget import Shelf
from medvlsam2 import atomic_files
from medvlsam2.errors import PacsUnavailable, UnknownImage, UnreadableVolume

logger = logging.getLogger(__name__)

CONNECTIONS: Final = 4
"""Instances fetched at once: enough to hide the network delay, few enough for the PACS to serve others."""

WAIT_S: Final = 600.0
"""Longest wait in seconds for another process that fetches the same series."""

_TRIES: Final = 3
_BESIDE: Final = ".fetching-"


@dataclass(frozen=True)
class Instance:
    """A file of a cached series."""

    name: str
    size_bytes: int


class SeriesCache:
    """The series that were fetched."""

    def __init__(self, folder: Path, pacs: DicomWeb) -> None:
        self._folder = folder
        _private(folder)
        self._pacs = pacs
        self._shelf = Shelf(folder)
        self._limit_bytes: int | None = None
        self._waiting: Callable[[], Collection[str]] = frozenset
        self._holds = ExitStack()
        self._holding = False

    def limit(self, limit_bytes: int, waiting: Callable[[], Collection[str]]) -> None:
        """Keep the cache within a budget from now on; only the server does that.

        A training process does not: it lists its scans first and reads them for hours, so all series stay from its
        first scan until it ends.

        Args:
            limit_bytes: most bytes of all series together.
            waiting: returns the series with a label that waits for the PACS; these stay.
        """
        self._holds.close()
        self._limit_bytes, self._waiting = limit_bytes, waiting
        self._make_room()

    def held(self) -> AbstractContextManager[None]:
        """Keep every series while the block runs."""
        return self._shelf.held()

    def folder(self, study_uid: str, series_uid: str, expected: int | None = None) -> Path:
        """Return the folder with all instances of a series; fetch the series if it is not here or not complete.

        Args:
            study_uid: identifier of its study.
            series_uid: identifier of the series, which is also the name of the folder.
            expected: number of instances in the PACS at the last listing, if it is known; a series that has grown
                since is fetched again.

        Raises:
            PacsUnavailable: if the PACS does not give all of it.
            UnknownImage: if the PACS holds no instance of it.
            UnreadableVolume: if an instance is not what the PACS says it is.
        """
        require_uid(series_uid)
        place = self._folder / series_uid
        self._use(series_uid)
        if self._is_whole(series_uid, expected):
            return place
        try:
            with self._shelf.lock(series_uid, WAIT_S):
                if not self._is_whole(series_uid, expected):
                    with self._pacs.for_people():
                        self._fetch(study_uid, series_uid, expected)
        except Timeout as error:
            raise PacsUnavailable("The series is still on its way from the PACS. Try again in a minute.") from error
        self._make_room()
        return place

    def whole_folder(self, series_uid: str, *, use: bool = False) -> Path | None:
        """Return the folder of a series if it is here and complete; the PACS is not asked.

        Args:
            series_uid: identifier of the series.
            use: whether a request reads the series, so that it stays for some time.
        """
        if not UID.fullmatch(series_uid):
            return None
        if use:
            self._use(series_uid)
        return self._folder / series_uid if self._is_whole(series_uid, None) else None

    def clear_unfinished(self) -> None:
        """Remove the remains of killed processes; a series that another process fetches now stays."""
        self._shelf.clear_remains()
        for left in self._folder.glob(f"{_BESIDE}*"):
            try:
                with self._shelf.lock(left.name.removeprefix(_BESIDE), 0):
                    shutil.rmtree(left, ignore_errors=True)
            except Timeout:
                logger.info("A series is being fetched by another process")

    def _use(self, series_uid: str) -> None:
        if self._limit_bytes is None and not self._holding:
            self._holding = True
            self._holds.enter_context(self._shelf.held())
        self._shelf.use(series_uid)

    def _make_room(self) -> None:
        if self._limit_bytes is not None and (removed := self._shelf.make_room(self._limit_bytes, self._waiting)):
            logger.info("Removed %d series that were not used for long", removed)

    def _fetch(self, study_uid: str, series_uid: str, expected: int | None) -> None:
        beside = self._folder / f"{_BESIDE}{series_uid}"
        shutil.rmtree(beside, ignore_errors=True)
        _private(beside)
        try:
            found = self._listed(study_uid, series_uid, expected)
            with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="fetch-series") as workers:
                jobs = [workers.submit(self._fetch_one, study_uid, series_uid, uid, beside) for uid in found]
                try:
                    instances = [job.result() for job in jobs]
                finally:
                    workers.shutdown(cancel_futures=True)
            if set(self._listed(study_uid, series_uid, expected)) != set(found):
                raise PacsUnavailable(
                    f"Image '{series_uid}' grew in the PACS while it was fetched ({len(found)} instances at first): "
                    "it is still on its way there. Try again in a minute."
                )
            atomic_files.flush_folder(beside)
            record = {instance.name: instance.size_bytes for instance in instances}
            place = self._folder / series_uid
            shutil.rmtree(place, ignore_errors=True)
            atomic_files.write_text(
                self._shelf.manifest(series_uid), json.dumps({"instances": record, "told": expected}), private=True
            )
            atomic_files.rename(beside, place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        logger.info("Fetched a series of %d instances from the PACS", len(record))

    def _listed(self, study_uid: str, series_uid: str, expected: int | None) -> list[str]:
        """Return the UIDs of all instances that the PACS lists; refuse a series that has not fully arrived there."""
        found = [value(entry, INSTANCE_UID) for entry in self._pacs.instances(study_uid, series_uid)]
        if not found:
            raise UnknownImage(f"Image '{series_uid}' has no instances in the PACS. Was it removed there?")
        if expected is not None and len(found) < expected:
            asked = self._pacs.series(SeriesInstanceUID=series_uid, includefield=INSTANCE_COUNT)
            counts = [value(entry, INSTANCE_COUNT) for entry in asked if value(entry, SERIES_UID) == series_uid]
            told = next((int(count) for count in counts if count.isdecimal()), len(found))
            if len(found) < told:
                raise PacsUnavailable(
                    f"The PACS says that image '{series_uid}' has {told} instances, and lists {len(found)}. Try again "
                    "when all have arrived there."
                )
        return found

    def _fetch_one(self, study_uid: str, series_uid: str, instance_uid: str, folder: Path) -> Instance:
        require_uid(instance_uid)
        path = folder / f"{instance_uid}.dcm"
        for remaining in reversed(range(_TRIES)):
            try:
                with atomic_files.no_room_as_error(path.name):
                    size_bytes = self._pacs.fetch(study_uid, series_uid, instance_uid, path)
                break
            except PacsSilent:
                raise
            except PacsUnavailable:
                if not remaining:
                    raise
        atomic_files.flush_file(path)
        _require_identity(path, series_uid, instance_uid)
        return Instance(path.name, size_bytes)

    def _is_whole(self, series_uid: str, expected: int | None) -> bool:
        try:
            manifest = json.loads(self._shelf.manifest(series_uid).read_text(encoding="utf-8"))
            record, told = manifest["instances"], manifest["told"]
            here = {entry.name: entry.stat().st_size for entry in _files(self._folder / series_uid)}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(record) and here == record and expected in {None, told, len(record)}


def _private(folder: Path) -> None:
    atomic_files.make_folder(folder, private=True)
    folder.chmod(atomic_files.PRIVATE_FOLDER)


def require_uid(uid: str) -> None:
    """Refuse an identifier that is no UID and therefore no safe file name.

    Raises:
        UnknownImage: naming it.
    """
    if not UID.fullmatch(uid):
        raise UnknownImage(f"{uid[:80]!r} is no DICOM UID. Give the SeriesInstanceUID of a series in the PACS.")


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


def _require_identity(path: Path, series_uid: str, instance_uid: str) -> None:
    """Refuse a file that is damaged or holds another instance than the requested one."""
    try:
        header = pydicom.dcmread(path, specific_tags=["SOPInstanceUID", "SeriesInstanceUID"], stop_before_pixels=True)
        found = (str(header.get("SeriesInstanceUID", "")), str(header.get("SOPInstanceUID", "")))
    except (InvalidDicomError, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UnreadableVolume(
            f"Instance '{instance_uid}' of image '{series_uid}' is no readable DICOM file ({type(error).__name__}). "
            "Send the series to the PACS again."
        ) from error
    if found != (series_uid, instance_uid):
        raise UnreadableVolume(
            f"The PACS gave instance '{found[1]}' of series '{found[0]}' for instance '{instance_uid}' of image "
            f"'{series_uid}'. Ask its operator."
        )
