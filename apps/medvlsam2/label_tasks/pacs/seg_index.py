"""Index of the DICOM SEGs in the PACS: the image of each SEG, who made it, and whether it can be a label.

The headers are requested in the background, once for each SEG, and kept on the disk. Nothing is ever removed from a
PACS, so of several SEGs of one image the newest counts that no other SEG replaces. Two kinds of SEGs are never labels:
SEGs of the host's own export, whose names may be on wrong organs, and SEGs of other programs that no person helped to
make.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from label_tasks.logs.short_ids import anonymous, short_id
from label_tasks.pacs.catalogue import SegSeries
from label_tasks.pacs.dicomweb import Attributes, DicomWeb
from medvlsam2 import atomic_files
from medvlsam2.data.dicom_seg import predecessor_uid, written_by_host
from medvlsam2.data.dicom_seg.writer import PRODUCT
from medvlsam2.errors import PacsUnavailable

logger = logging.getLogger(__name__)

_PER_FRAME: Final = ("52009229", "52009230")
"""Functional groups of all frames; they are most of a SEG's header and are not needed here."""

_HEADER: Final = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber",
    "SeriesDate", "SeriesTime", "InstanceNumber",
)  # fmt: skip
"""Attributes of a SEG that the SEG which replaces it must repeat."""


@dataclass(frozen=True, kw_only=True)
class KnownSeg:
    """A SEG instance in the PACS."""

    header: dict[str, str]
    image_uid: str
    """SeriesInstanceUID of its scan."""
    made: str
    """Time at which its content was made, as a text that sorts by time."""
    ours: bool
    label: str
    """DICOM's Content Label; in this server's SEGs it is the tag in capital letters."""
    replaces: str
    """SOPInstanceUID of the SEG that it replaces; empty if it replaces none."""
    by_person: bool
    """Whether all its segments were made by a person, or with the help of one."""
    warning: str = ""
    """Why it cannot be trusted; empty if it can."""

    @property
    def uid(self) -> str:
        """Its SOPInstanceUID."""
        return self.header["SOPInstanceUID"]

    @property
    def is_label(self) -> bool:
        """Whether it can be a final label."""
        return not self.warning and (self.label == "FINAL" if self.ours else self.by_person)

    @property
    def order(self) -> tuple[str, int]:
        """Greater for a newer one."""
        return self.made, int(self.header.get("InstanceNumber") or 0)


class SegIndex:
    """The known SEGs of the PACS."""

    def __init__(self, pacs: DicomWeb, kept: Path) -> None:
        self._pacs = pacs
        self._kept = kept
        self._known: dict[str, tuple[int | None, list[KnownSeg]]] = _read(kept)
        self._labels = _newest_labels(self._all())
        self._told: set[str] = set()

    def renew(self, listed: Mapping[str, SegSeries]) -> None:
        """Ask the PACS for the headers of series that are new or have grown; drop series that are gone."""
        known = {uid: self._known[uid] for uid in listed if uid in self._known}
        for uid, series in listed.items():
            if uid in known and known[uid][0] == series.instances:
                continue
            try:
                entries = self._pacs.metadata(series.study_uid, uid)
            except PacsUnavailable as error:
                logger.warning("A SEG series could not be looked at: %s", anonymous(str(error)))
                continue  # the known headers stay until the PACS gives new ones
            known[uid] = (series.instances, [seg for entry in entries if (seg := _known_seg(entry)) is not None])
        if known != self._known:
            self._keep(known)
        self._tell()

    def distrust(self, uid: str, why: str) -> None:
        """Mark a SEG as no label, and give the reason as a warning of its image."""
        self._keep(
            {
                series: (count, [replace(seg, warning=why) if seg.uid == uid else seg for seg in segs])
                for series, (count, segs) in self._known.items()
            }
        )

    def uids(self) -> frozenset[str]:
        """SOPInstanceUIDs of all."""
        return frozenset(seg.uid for seg in self._all())

    def of_image(self, image_uid: str) -> list[KnownSeg]:
        """SEGs of an image, oldest first."""
        return sorted((seg for seg in self._all() if seg.image_uid == image_uid), key=lambda seg: seg.order)

    def label_of(self, image_uid: str) -> KnownSeg | None:
        """The newest SEG of an image that can be its final label."""
        return self._labels.get(image_uid)

    def warnings(self, image_uid: str) -> list[str]:
        """Warnings about SEGs of an image that must not be trusted and that no newer SEG of this server replaces."""
        segs = self.of_image(image_uid)
        newest_of_ours = max((seg.order for seg in segs if seg.ours), default=("", 0))
        return sorted({seg.warning for seg in segs if seg.warning and seg.order > newest_of_ours})

    def _keep(self, known: dict[str, tuple[int | None, list[KnownSeg]]]) -> None:
        self._known = known
        self._labels = _newest_labels(self._all())
        record = {uid: [count, [asdict(seg) for seg in segs]] for uid, (count, segs) in known.items()}
        atomic_files.write_text(self._kept, json.dumps(record), private=True)

    def _all(self) -> Iterator[KnownSeg]:
        for _, segs in self._known.values():
            yield from segs

    def _tell(self) -> None:
        for seg in self._all():
            if seg.warning and seg.uid not in self._told:
                self._told.add(seg.uid)
                logger.warning(
                    "Image %s, SEG %s: %s", short_id(seg.image_uid), short_id(seg.uid), anonymous(seg.warning)
                )


def header_of(seg: Dataset) -> dict[str, str]:
    """Return the attributes of this SEG that a later SEG must repeat."""
    return {name: str(seg.get(name)) for name in _HEADER if seg.get(name) not in {None, ""}}


def dataset_of(header: Mapping[str, str]) -> Dataset:
    """Return the same as a data set."""
    seg = Dataset()
    for name, text in header.items():
        setattr(seg, name, text)
    return seg


def _newest_labels(segs: Iterable[KnownSeg]) -> dict[str, KnownSeg]:
    """Return, by image, the newest SEG that can be its label; a replaced SEG is none, whatever its time says."""
    known = sorted(segs, key=lambda seg: seg.order)
    replaced = {seg.replaces for seg in known}
    return {seg.image_uid: seg for seg in known if seg.is_label and seg.uid not in replaced}


def _known_seg(entry: Attributes) -> KnownSeg | None:
    """Return a SEG by its header in the DICOM JSON model; None if the header does not name its scan."""
    try:
        seg = Dataset.from_json({tag: attribute for tag, attribute in entry.items() if tag not in _PER_FRAME})
        references = list(seg.get("ReferencedSeriesSequence") or ())
        image_uid = str(references[0].SeriesInstanceUID) if references else ""
        header = header_of(seg)
        if not image_uid or "SOPInstanceUID" not in header:
            return None
        kinds = {str(item.get("SegmentAlgorithmType", "")) for item in seg.get("SegmentSequence") or ()}
        return KnownSeg(
            header=header,
            image_uid=image_uid,
            made=f"{seg.get('ContentDate') or seg.get('SeriesDate') or ''}{seg.get('ContentTime') or ''}",
            ours=str(seg.get("ManufacturerModelName", "")) == PRODUCT,
            label=str(seg.get("ContentLabel", "")),
            replaces=str(predecessor_uid(seg) or ""),
            by_person=bool(kinds) and kinds <= {"MANUAL", "SEMIAUTOMATIC"},
            warning=written_by_host(seg) or "",
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        logger.warning("A SEG of the PACS has a header that cannot be read (%s)", type(error).__name__)
        return None


def _read(path: Path) -> dict[str, tuple[int | None, list[KnownSeg]]]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {uid: (count, [KnownSeg(**seg) for seg in segs]) for uid, (count, segs) in record.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
