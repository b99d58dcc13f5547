"""Datastore of a PACS: the host's interface ``Datastore`` over the series of a PACS and local labels.

It replaces the host's ``DICOMWebDatastore``. Images are series of the PACS; a series is fetched at its first use and
read like any folder of DICOM files. Labels are first stored on this machine, with every version, like those of a local
folder; final labels are sent to the PACS as DICOM SEG as soon as it answers. Lists never wait for the PACS.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from label_tasks.logs.short_ids import anonymous
from label_tasks.pacs.address import PacsAddress
from label_tasks.pacs.catalogue import Catalogue
from label_tasks.pacs.dicomweb import DicomWeb
from label_tasks.pacs.kept import budget, unseen
from label_tasks.pacs.label_segs import UNUSABLE, label_of_seg
from label_tasks.pacs.label_states import SUBMISSION, LabelStates, fingerprint
from label_tasks.pacs.seg_index import KnownSeg, SegIndex
from label_tasks.pacs.sender import Sender
from label_tasks.pacs.series_cache import SeriesCache
from label_tasks.store.infos import trusted_image_info
from label_tasks.store.scan_folder import ScanFolder, plain_tag
from label_tasks.store.submissions import CheckedFile, checked_file
from medvlsam2 import atomic_files
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies.index import StudiesIndex
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.scan_list import FoundScan, ScanList
from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.errors import InvalidRequest, MedVLSAM2Error, PacsUnavailable, UnknownImage
from medvlsam2.settings.record import ServerSettings

logger = logging.getLogger(__name__)

ModelOf = Callable[[str], tuple[str, str] | None]
"""Returns id and version of the model behind a name that clients use; None for a name of no model here."""

SEND_WAIT_S: Final = 10.0
"""Seconds that a submission waits until its SEG is in the PACS, if the PACS answers; making a SEG takes a few."""

START_WAIT_S: Final = 5.0
"""Seconds that the start waits for the first list of images."""

TAKE_WAIT_S: Final = 60.0
"""Seconds that a request for a label waits for another server that fetches the same label from the PACS."""

_SERIES: Final = "series"
_UNPACKED: Final = ".nii.gz"


class PacsDatastore(ScanFolder):
    """The CT series of a PACS and their labels."""

    def __init__(
        self,
        address: PacsAddress,
        cache: Path,
        every_s: float,
        model_of: ModelOf,
        limit_bytes: int = ServerSettings.pacs_cache_gib * 2**30,
    ) -> None:
        root = cache / hashlib.md5(address.url.encode(), usedforsecurity=False).hexdigest()  # the host's own name
        atomic_files.make_folder(root, private=True)
        root.chmod(atomic_files.PRIVATE_FOLDER)
        self._address = address
        self._model_of = model_of
        self._pacs = DicomWeb(address)
        self._cache = SeriesCache(root / _SERIES, self._pacs)
        self._catalogue = Catalogue(self._pacs, root / "catalogue.json", every_s)
        self._segs = SegIndex(self._pacs, root / "segs.json")
        self._states = LabelStates(root / "sent")
        self._shelf = LabelShelf(root / "labels")
        self._expected: set[str] = set()
        self._limit_bytes = limit_bytes
        self.folder = StudiesFolder(root, self._known_scans)
        self._sender = Sender(self.folder, self._states, pacs=self._pacs, scan_of=self._scan, segs=self._segs)
        if self._states.is_new:
            self._sender.take_labels_as_they_are()

    def start(self) -> None:
        """Start to watch the PACS and to send labels to it; only the server does that, not the training processes."""
        self._cache.clear_unfinished()
        budget.remove_left(self.folder.root, ".seg-*", "sent/.partial-*")
        self._cache.limit(self._limit_bytes, self._sender.waiting)
        self._catalogue.keep_renewing(self._renewed)
        self._catalogue.wait_for_first_try(START_WAIT_S)
        self._sender.start()

    def stop(self) -> None:
        """End the threads that :meth:`start` started."""
        self._catalogue.stop()
        self._sender.stop()

    def left_out(self) -> Mapping[str, str]:
        """Do nothing: the PACS is asked for CT series only."""
        return {}

    def why_refused(self, image_id: str) -> str | None:
        """Do nothing: scans come from the PACS and are not uploaded here."""
        return None

    def name(self) -> str:
        """Address of the PACS."""
        return self._address.url

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images with a final label here, or with a SEG in the PACS that can be one; each id once."""
        return [image_id for image_id in self._seen().objects if self._has_final(image_id)]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the other images."""
        return [image_id for image_id in self._seen().objects if not self._has_final(image_id)]

    def get_image_uri(self, image_id: str) -> str:
        """Folder with all instances of the image's series, fetched at the first call; empty if it is unknown.

        Raises:
            PacsUnavailable: if it is not here and the PACS does not give it.
            UnknownImage: if only its labels are known: neither the PACS nor the cache has the series.
            UnreadableVolume: if an instance is damaged.
        """
        known = image_id in self._catalogue.lists.images or image_id in self._seen().objects
        return str(self._scan(image_id)) if known else ""

    def path_if_here(self, image_id: str) -> Path | None:
        """Folder of the image's series if all of it is here; the PACS is not asked."""
        return self._cache.whole_folder(image_id)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Information on an image, with its study; the PACS is not asked."""
        try:
            info = trusted_image_info(self.folder.require(image_id).image.info)
        except UnknownImage:
            return {}
        image = self._catalogue.lists.images.get(image_id)
        warnings = self._segs.warnings(image_id)
        return {**info, **(image.facts if image else {}), **({"warnings": warnings} if warnings else {})}

    def download_name(self, image_id: str) -> str:
        """File name of the download: always NIfTI, since a viewer cannot load a series from one file."""
        return f"{image_id}.nii.gz"

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Refuse: scans come from the PACS.

        Raises:
            InvalidRequest: always.
        """
        raise InvalidRequest("The scans of this server are its PACS's. Send the scan there, or use PUT /session/.")

    def receive_image(self, image_id: str, arrived: Path, info: Mapping[str, Any]) -> None:
        """Refuse, as :meth:`add_image` does.

        Raises:
            InvalidRequest: always.
        """
        self.add_image(image_id, str(arrived), info)

    def remove_image(self, image_id: str) -> None:
        """Refuse: scans are removed in the PACS.

        Raises:
            InvalidRequest: always.
        """
        raise InvalidRequest("The scans of this server are its PACS's. Remove the scan there.")

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label; empty if there is none. If a SEG in the PACS is the final label, that SEG is fetched."""
        if plain_tag(label_tag) == FINAL:
            self._take_from_pacs(label_id)
        return super().get_label_uri(label_id, label_tag)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Information on a label, with its state at the PACS and warnings about SEGs there that must not be trusted."""
        info = super().get_label_info(label_id, label_tag)
        if plain_tag(label_tag) != FINAL:
            return info
        if info:
            info["pacs"] = self._sender.told(label_id)
        warnings = self._segs.warnings(label_id)
        return {**info, "warnings": warnings} if warnings else info

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids by tag; a label has the id of its image."""
        labels = super().get_labels_by_image_id(image_id)
        return {**labels, FINAL: image_id} if self._in_pacs_alone(image_id) else labels

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a label here; a final label is also sent to the PACS, now or when the PACS answers again.

        Raises:
            MedVLSAM2Error: if a final label does not pass the check. Nothing was changed.
        """
        if plain_tag(label_tag) == FINAL:
            self.store_checked(image_id, Path(label_filename), FINAL, label_info or {})
            return image_id
        return super().save_label(image_id, label_filename, label_tag, label_info)

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        """Change the information on a label; a final label is sent to the PACS again with its new names."""
        super().update_label_info(label_id, label_tag, info)
        self._sender.wake(label_id)

    def restore_label(self, label_id: str, label_tag: str, number: int) -> None:
        """Make an earlier version the label again; a final label is sent to the PACS again."""
        super().restore_label(label_id, label_tag, number)
        self._sender.wake(label_id)

    def expect_image(self, image_id: str, why: PacsUnavailable | UnknownImage) -> None:
        """Accept a label of a series that is not listed: the PACS cannot be asked, or lost a series that is still here.

        Args:
            image_id: identifier of the series.
            why: the error that says why the series is not listed.

        Raises:
            PacsUnavailable: if the id is no UID.
            UnknownImage: if neither the PACS nor the cache has the series.
        """
        if not unseen.may_be_in_pacs(image_id, why) and self._cache.whole_folder(image_id) is None:
            raise why
        self._expected.add(image_id)
        self.folder.refresh()

    def submit_label(self, image_id: str, submitted: Path, tag: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Check a submitted label and store it, also for an image that is only expected."""
        try:
            return super().submit_label(image_id, submitted, tag, info)
        finally:
            self._expected.discard(image_id)

    def store_checked(self, image_id: str, submitted: Path, tag: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Store a submitted label; send a final label to the PACS, now or when the PACS answers again.

        Returns:
            Warnings, and the state of a final label at the PACS.

        Raises:
            MedVLSAM2Error: if it does not fit its scan; if the scan is not available now, if it is no label at all.
        """
        told = {**info, SUBMISSION: secrets.token_hex(8)}
        if (known := self._model_of(str(info.get("model") or ""))) is not None:
            told["model_id"], told["model_version"] = known
        checked = self._checked(image_id, submitted, tag, told)
        self.folder.put_label(image_id, tag, checked.path, checked.ext, told, sent=checked.sent)
        warnings = list(checked.warnings)
        if tag != FINAL:
            return {"warnings": warnings} if warnings else {}
        self._sender.wake(image_id)
        if "reason" not in self._catalogue.state():
            self._sender.wait_for(image_id, SEND_WAIT_S)
        warnings += self._segs.warnings(image_id)
        return {"pacs": self._sender.told(image_id), **({"warnings": warnings} if warnings else {})}

    def refresh(self) -> None:
        """Ask the PACS for its lists now.

        Raises:
            PacsUnavailable: if it does not answer.
        """
        self._catalogue.refresh()
        self.folder.refresh()

    def status(self) -> dict[str, Any]:
        """Number of images, number of images with a final label, and state of the PACS, which is not asked."""
        told = super().status()
        waiting = len(self._sender.waiting())
        return {
            **told,
            "completed": len(self.get_labeled_images()),
            "pacs": {**self._catalogue.state(), "labels_waiting": waiting},
        }

    def json(self) -> dict[str, Any]:
        """The whole index, with the state of each final label at the PACS."""
        index = super().json()
        for image_id, item in index["objects"].items():
            if FINAL in item["labels"]:
                label = item["labels"][FINAL]
                label["info"] = {**label["info"], "pacs": self._sender.told(image_id)}
            if warnings := self._segs.warnings(image_id):
                item["image"] = {**item["image"], "info": {**item["image"]["info"], "warnings": warnings}}
        return index

    def prepare_export(self) -> None:
        """Fetch every labelled image, and every label that only the PACS has; the log tells what is not available."""
        for image_id in self.get_labeled_images():
            try:
                self.get_image_uri(image_id)
                self._take_from_pacs(image_id)
            except MedVLSAM2Error as error:
                logger.warning("Not exported: %s", anonymous(str(error), image_id))

    def archive(self, limit_cases: int | None) -> Iterator[bytes]:
        """Yield a ZIP of the labelled images, block by block; until its end the images stay in the cache.

        Raises:
            InvalidRequest: if the limit is below 1.
            DatasetError: if there is nothing to export; both before the first block.
        """
        with ExitStack() as holds:
            holds.enter_context(self._cache.held())
            return budget.held_until_the_end(super().archive(limit_cases), holds.pop_all())

    def _seen(self) -> StudiesIndex:
        """The index as it is known: the catalogue's thread asks the PACS, not the request."""
        return self.folder.index()

    def _known_scans(self, _: Path) -> ScanList:
        """Images of the catalogue, and images with labels here that the PACS may have lost, or while it is down."""
        images = dict.fromkeys((*self._catalogue.lists.images, *self._expected))
        for tag in self._shelf.tags():
            images.update(dict.fromkeys(self._shelf.files(tag)))
        return ScanList({image_id: FoundScan(f"{_SERIES}/{image_id}", "") for image_id in images})

    def _renewed(self) -> None:
        """Called when the PACS has answered: update images and SEGs, and send the labels that wait."""
        self.folder.refresh()
        before = self._segs.uids()
        self._segs.renew(self._catalogue.lists.segs)
        self._sender.compare(before)
        self._sender.wake()

    def _scan(self, image_id: str) -> Path:
        image = self._catalogue.lists.images.get(image_id)
        if image is None and (here := self._cache.whole_folder(image_id, use=True)) is not None:
            return here
        image = image or self._catalogue.require(image_id)
        return self._cache.folder(image.study_uid, image.series_uid, image.instances)

    def _checked(self, image_id: str, submitted: Path, tag: str, info: Mapping[str, Any]) -> CheckedFile:
        """Return the file to store. If the scan is not available now, the place is compared when the label is sent."""
        try:
            scan = Path(self.get_image_uri(image_id))
        except PacsUnavailable as error:
            return unseen.checked_alone(submitted, image_id, tag, info, error)
        return checked_file(submitted, image_id, tag, info, scan)

    def _has_final(self, image_id: str) -> bool:
        item = self.folder.index().objects.get(image_id)
        return (item is not None and FINAL in item.labels) or self._in_pacs_alone(image_id) is not None

    def _in_pacs_alone(self, image_id: str) -> KnownSeg | None:
        """Return the SEG that is an image's final label, if no final label is here and none was ever sent from here."""
        item = self.folder.index().objects.get(image_id)
        seg = self._segs.label_of(image_id)
        if seg is None or item is None or FINAL in item.labels or seg.uid in self._states.of(image_id).uids:
            return None
        return seg

    def _take_from_pacs(self, image_id: str) -> None:
        """Store the SEG that is an image's final label as a label file, unless a final label is here."""
        if self._in_pacs_alone(image_id) is None:
            return
        with self._states.changing(image_id, TAKE_WAIT_S), self.folder.incoming(f"label{_UNPACKED}") as label:
            seg = self._in_pacs_alone(image_id)
            if seg is None:
                return
            file = label.with_name("seg.dcm")
            header = seg.header
            self._pacs.fetch(header["StudyInstanceUID"], header["SeriesInstanceUID"], seg.uid, file)
            scan = Path(self.get_image_uri(image_id))
            try:
                names = label_of_seg(file, scan, image_id, label)
            except UNUSABLE as error:
                self._segs.distrust(seg.uid, str(error))
                raise
            info = {"label_info": names, "source": {"SOPInstanceUID": seg.uid}, SUBMISSION: secrets.token_hex(8)}
            super().save_label(image_id, str(label), FINAL, info)
            entry = self.folder.index().objects[image_id].labels[FINAL]
            self._states.change(
                image_id,
                fingerprint=fingerprint(entry.ext, entry.info),
                seg=header,
                uids=(*self._states.of(image_id).uids, seg.uid),
            )
