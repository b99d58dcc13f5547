"""Lists of the series in the PACS: those that are images, and DICOM SEGs that refer to images.

A thread renews the lists in the background. Readers get the last lists at once, so no route of the server waits for the
PACS; only a request for an image that is not listed asks the PACS again and waits (:meth:`Catalogue.refresh`). The last
lists are kept on the disk: a server that starts while the PACS is down still knows its images.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from label_tasks.pacs.dicomweb import INSTANCE_COUNT, SERIES_UID, STUDY_UID, UID, Attributes, DicomWeb, value
from medvlsam2 import atomic_files
from medvlsam2.errors import MedVLSAM2Error, PacsUnavailable, UnknownImage

logger = logging.getLogger(__name__)

_FACTS: Final = {
    "StudyDate": "00080020",
    "StudyTime": "00080030",
    "Modality": "00080060",
    "PatientID": "00100020",
    "StudyInstanceUID": STUDY_UID,
    "SeriesInstanceUID": SERIES_UID,
}
"""Attributes of an image that clients get; OHIF opens the study by them."""


@dataclass(frozen=True)
class Image:
    """A series that can be annotated."""

    series_uid: str
    study_uid: str
    instances: int | None
    facts: dict[str, str]


@dataclass(frozen=True)
class SegSeries:
    """A series of DICOM SEGs."""

    study_uid: str
    instances: int | None


@dataclass(frozen=True)
class Lists:
    """The lists of one moment."""

    images: dict[str, Image] = field(default_factory=dict)
    segs: dict[str, SegSeries] = field(default_factory=dict)
    """Series of DICOM SEGs, by SeriesInstanceUID."""


class Catalogue:
    """The lists, and the thread that renews them."""

    def __init__(self, pacs: DicomWeb, kept: Path, every_s: float) -> None:
        self._pacs = pacs
        self._kept = kept
        self._every_s = every_s
        self._lists = _read(kept)
        self._seen_s: float | None = None
        self._failed_s = 0.0
        self._trouble = ""
        self._renewing = threading.Lock()
        self._stopped = threading.Event()
        self._first_try_over = threading.Event()

    @property
    def lists(self) -> Lists:
        """The last lists."""
        return self._lists

    @property
    def seen(self) -> bool:
        """Whether the PACS has answered this process at least once."""
        return self._seen_s is not None

    def state(self) -> dict[str, str]:
        """A sentence that says whether the PACS answered last time."""
        if self._trouble:
            return {"state": "away", "reason": self._trouble}
        return {"state": "reachable" if self.seen else "not asked yet"}

    def require(self, image_id: str) -> Image:
        """Return an image of the lists.

        Raises:
            PacsUnavailable: if it is not listed, and the PACS did not answer the last time or was not asked yet.
            UnknownImage: if the PACS does not have it.
        """
        image = self._lists.images.get(image_id)
        if image is not None:
            return image
        if self._trouble or not self.seen:
            why = self._trouble or "The PACS has not been asked yet."
            raise PacsUnavailable(f"Image '{image_id}' is not here. {why}")
        raise UnknownImage(
            f"Image '{image_id}' is not in the PACS, and this server has no copy of it. Labels of it are kept here."
        )

    def refresh(self) -> None:
        """Ask the PACS now; requests that come at the same time share one answer.

        Raises:
            PacsUnavailable: if it does not answer; the lists stay as they were.
        """
        asked_s = time.monotonic()
        with self._pacs.for_people(), self._renewing:
            if self._trouble and self._failed_s > asked_s:
                raise PacsUnavailable(self._trouble)
            if self._seen_s is None or self._seen_s < asked_s:
                self._renew()

    def keep_renewing(self, then: Callable[[], None]) -> None:
        """Start the thread that renews the lists; it calls ``then`` each time that the PACS has answered."""
        thread = threading.Thread(target=self._run, args=(then,), name="pacs-catalogue", daemon=True)
        thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def wait_for_first_try(self, limit_s: float) -> None:
        """Wait some time for the first answer, so that a server that has started knows its images."""
        self._first_try_over.wait(limit_s)

    def _run(self, then: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            try:
                with self._renewing:
                    self._renew()
                then()
            except MedVLSAM2Error as error:
                logger.warning("The lists of the PACS could not be renewed: %s", error)
            except Exception:
                logger.exception("The lists of the PACS could not be renewed")
            self._first_try_over.set()
            self._stopped.wait(self._every_s)

    def _renew(self) -> None:
        began_s = time.monotonic()
        try:
            wanted = {**self._pacs.address.search, "includefield": INSTANCE_COUNT}
            images = [_image(entry) for entry in _of(wanted.get("Modality"), self._pacs.series(**wanted))]
            segs = _of("SEG", self._pacs.series(Modality="SEG", includefield=INSTANCE_COUNT))
        except PacsUnavailable as error:
            self._trouble, self._failed_s = str(error), time.monotonic()
            raise
        lists = Lists(
            images={image.series_uid: image for image in images if _is_named(image.series_uid, image.study_uid)},
            segs={
                value(entry, SERIES_UID): SegSeries(value(entry, STUDY_UID), _count(entry))
                for entry in segs
                if _is_named(value(entry, SERIES_UID), value(entry, STUDY_UID))
            },
        )
        changed = lists != self._lists
        self._lists, self._seen_s, self._trouble = lists, began_s, ""
        if changed:
            atomic_files.write_text(self._kept, json.dumps(asdict(lists)), private=True)


def _of(modality: Any, entries: Iterable[Attributes]) -> list[Attributes]:
    """Return the series of a modality, if they tell it: some servers ignore the attributes of a search."""
    if not isinstance(modality, str) or not modality.isalnum():
        return list(entries)
    return [entry for entry in entries if value(entry, _FACTS["Modality"]) in {"", modality}]


def _is_named(*uids: str) -> bool:
    """Return whether these can be parts of an address and names of folders: a PACS may send other texts than UIDs."""
    return all(UID.fullmatch(uid) for uid in uids)


def _image(entry: Attributes) -> Image:
    return Image(
        series_uid=value(entry, SERIES_UID),
        study_uid=value(entry, STUDY_UID),
        instances=_count(entry),
        facts={name: value(entry, tag) or "UNK" for name, tag in _FACTS.items()},
    )


def _count(entry: Attributes) -> int | None:
    told = value(entry, INSTANCE_COUNT)
    return int(told) if told.isdecimal() else None


def _read(path: Path) -> Lists:
    """Return the lists that an earlier server kept; empty ones if the file cannot be read."""
    try:
        record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        images = {uid: Image(**image) for uid, image in record["images"].items()}
        segs = {uid: SegSeries(**series) for uid, series in record["segs"].items()}
        return Lists(images=images, segs=segs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Lists()
