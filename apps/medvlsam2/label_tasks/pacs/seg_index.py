"""The DICOM SEGs of the PACS: which image each belongs to, who made it, and whether it can be a label.

Headers are asked for in the background, once for each SEG; what they said is kept on disk. Nothing is ever taken out of
a PACS, so of several SEGs of one image the newest counts that no other one replaces. No label are: SEGs that the host's
own export wrote, whose names may stand on wrong organs; and those of other programs that no person had a part in.
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
"""Functional groups of all frames: most of a SEG's header, and not needed here."""

_HEADER: Final = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber",
    "SeriesDate", "SeriesTime", "InstanceNumber",
)  # fmt: skip
"""What a SEG that replaces another one must know of it."""


@dataclass(frozen=True, kw_only=True)
class KnownSeg:
    """One SEG instance of the PACS."""

    header: dict[str, str]
    image_uid: str
    """SeriesInstanceUID of the scan that it belongs to."""
    made: str
    """When its content was made, as text that sorts by time."""
    ours: bool
    label: str
    """DICOM's Content Label: of ours the tag, in capital letters."""
    replaces: str
    """SOPInstanceUID of the SEG that it replaces; empty where there is none."""
    by_person: bool
    """Whether all its segments were drawn by hand or with a person's help."""
    warning: str = ""
    """Why it cannot be trusted."""

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
    """What is known of the SEGs of the PACS."""

    def __init__(self, pacs: DicomWeb, kept: Path) -> None:
        self._pacs = pacs
        self._kept = kept
        self._known: dict[str, tuple[int | None, list[KnownSeg]]] = _read(kept)
        self._labels = _newest_labels(self._all())
        self._told: set[str] = set()

    def renew(self, listed: Mapping[str, SegSeries]) -> None:
        """Ask for the headers of series that are new or have grown; forget those that are gone."""
        known = {uid: self._known[uid] for uid in listed if uid in self._known}
        for uid, series in listed.items():
            if uid in known and known[uid][0] == series.instances:
                continue
            try:
                entries = self._pacs.metadata(series.study_uid, uid)
            except PacsUnavailable as error:
                logger.warning("A SEG series could not be looked at: %s", anonymous(str(error)))
                continue  # what was known of it holds until it can be
            known[uid] = (series.instances, [seg for entry in entries if (seg := _known_seg(entry)) is not None])
        if known != self._known:
            self._keep(known)
        self._tell()

    def distrust(self, uid: str, why: str) -> None:
        """Take a SEG for no label from now on, and tell why as a warning of its image."""
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
        """Sentences about SEGs of an image that must not be trusted and that nothing newer of ours has replaced."""
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
    """What a later SEG must know of this one."""
    return {name: str(seg.get(name)) for name in _HEADER if seg.get(name) not in {None, ""}}


def dataset_of(header: Mapping[str, str]) -> Dataset:
    """The same as a data set."""
    seg = Dataset()
    for name, text in header.items():
        setattr(seg, name, text)
    return seg


def _newest_labels(segs: Iterable[KnownSeg]) -> dict[str, KnownSeg]:
    """By image, the newest SEG that can be its label; one that was replaced is none, whatever its clock said."""
    known = sorted(segs, key=lambda seg: seg.order)
    replaced = {seg.replaces for seg in known}
    return {seg.image_uid: seg for seg in known if seg.is_label and seg.uid not in replaced}


def _known_seg(entry: Attributes) -> KnownSeg | None:
    """A SEG by its header in the DICOM JSON model; None where it does not say which scan it belongs to."""
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
