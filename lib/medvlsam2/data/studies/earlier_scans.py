"""Finds earlier scans of the patient of a scan among the studies.

Who a patient is stays in memory, and there as a keyed hash whose key ends with the process. Nothing of it is written,
logged or told to a client.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medvlsam2.data.reading.dicom.study_origin import StudyOrigin, origin_of
from medvlsam2.errors import UnreadableVolume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedScan:
    """A scan of the studies."""

    image_id: str
    path: Path
    """File or folder."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """What clients told of it; ``PatientID`` and ``StudyDate`` count where the scan itself is no DICOM."""


@dataclass(frozen=True)
class EarlierScan:
    """A scan of the same patient with an older date."""

    scan: ListedScan
    date: str
    """Of its study, as YYYY-MM-DD."""
    now: str
    """Date of the study that it is earlier than."""


class EarlierScans:
    """Whose the scans are and when they were made, as far as their headers or their information tell both.

    A header is read once; it is read again when the file or folder has another time of change.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[tuple[str, int], tuple[bytes, str] | None] = {}

    def latest(self, scan: ListedScan, others: Iterable[ListedScan]) -> EarlierScan | None:
        """Return the latest of the earlier scans of the same patient; None without one, or without both dates.

        Args:
            scan: that is reported.
            others: all scans of the studies; the scan itself may be among them.
        """
        own = self._origin(scan)
        if own is None:
            return None
        patient, now = own
        found = [
            EarlierScan(other, origin[1], now)
            for other in others
            if other.image_id != scan.image_id
            and (origin := self._origin(other)) is not None
            and origin[0] == patient
            and origin[1] < now
        ]
        return max(found, key=lambda one: (one.date, one.scan.image_id), default=None)

    def _origin(self, scan: ListedScan) -> tuple[bytes, str] | None:
        """The hash of the patient and the date; None where one of them is not known."""
        told = f"{scan.info.get('PatientID')}\0{scan.info.get('StudyDate')}"
        try:
            place = (f"{scan.path}\0{told}", scan.path.stat().st_mtime_ns)
            if place not in self._known:
                self._known[place] = self._hashed(origin_of(scan.path, scan.info))
        except (OSError, UnreadableVolume):
            logger.debug("A scan could not be read while an earlier one was looked for")
            return None
        return self._known[place]

    def _hashed(self, origin: StudyOrigin | None) -> tuple[bytes, str] | None:
        if origin is None:
            return None
        hashed = hashlib.blake2b("\0".join(origin.patient).encode("utf-8"), key=self._key).digest()
        return hashed, origin.date
