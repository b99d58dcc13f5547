"""Datastore of a local studies folder: the host's interface ``Datastore`` over the project's ``StudiesFolder``.

The class does not inherit from the host's ``LocalDatastore``, which overwrites its index and its labels in place.
"""

from __future__ import annotations

import io
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from label_tasks.store.dataset_archive import write_archive
from label_tasks.store.infos import checked_label_info, trusted_image_info
from label_tasks.store.submissions import checked_file
from medvlsam2 import atomic_files
from medvlsam2.data.labels.submission import check_submission
from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.reading.scan_kinds import judge
from medvlsam2.data.scan_download import download_name
from medvlsam2.data.studies.bounds import require_bounded
from medvlsam2.data.studies.index import StudiesIndex
from medvlsam2.data.studies.label_place import label_suffix
from medvlsam2.data.studies.local_scans import LocalScans, require_listed
from medvlsam2.data.studies.studies_folder import StudiesFolder, taken
from medvlsam2.errors import (
    AlreadyThere,
    DatasetError,
    FolderBusy,
    GeometryMismatch,
    InvalidRequest,
    MedVLSAM2Error,
    PacsUnavailable,
    StorageFull,
    UnknownImage,
    UnknownLabel,
    UnreadableVolume,
)

logger = logging.getLogger(__name__)


REFRESH_S: Final = 5.0
"""Seconds within which files that were put into the folder are found, in a folder of some hundred scans."""

KEPT_REASONS: Final = 100
MAX_REASON: Final = 500
"""Number of refused uploads whose reasons are kept, and most characters of each reason."""

SHARE_OF_REFRESHES: Final = 20
"""Searches of the folder take at most one part in 20 of the time: in a large folder a search takes long."""


class ScanFolder(Datastore):  # type: ignore[misc]
    """A local folder of scans and their labels."""

    def __init__(self, studies: Path | str) -> None:
        self._scans = LocalScans()
        self.folder = StudiesFolder(Path(studies), self._scans)
        self._next_refresh_s = time.monotonic() + REFRESH_S
        self._refused: dict[str, str] = {}

    @property
    def data_dir(self) -> Path:
        """Path of the studies folder, in which the host puts other files too."""
        return self.folder.root

    def name(self) -> str:
        """Name of the folder in its index."""
        return self.folder.index().name

    def set_name(self, name: str) -> None:
        """Give the folder another name in its index."""
        self.folder.rename(name=name)

    def description(self) -> str:
        """Description of the folder in its index."""
        return self.folder.index().description

    def set_description(self, description: str) -> None:
        """Give the folder another description in its index."""
        self.folder.rename(description=description)

    def list_images(self) -> list[str]:
        """Ids of all images."""
        return list(self._seen().objects)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images with a final label; the tag and the names that the host passes do not change the result."""
        return [image_id for image_id, item in self._seen().objects.items() if FINAL in item.labels]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images without a final label."""
        return [image_id for image_id, item in self._seen().objects.items() if FINAL not in item.labels]

    def datalist(self) -> list[dict[str, Any]]:
        """Paths of every image with a final label, and of that label."""
        return [
            {"image": self.get_image_uri(image_id), "label": self.get_label_uri(image_id, FINAL)}
            for image_id in self.get_labeled_images()
        ]

    def labelled_files(self) -> list[dict[str, str]]:
        """The same with paths relative to the folder, for clients; no scan is fetched for it."""
        files = []
        for image_id in self.get_labeled_images():
            label = self.folder.shelf.place(image_id, FINAL).current()
            if label is not None:
                paths = {"image": self.folder.image_path(image_id), "label": label.path}
                files.append({key: str(path.relative_to(self.folder.root)) for key, path in paths.items()})
        return files

    def get_image(self, image_id: str, params: Any = None) -> Any:
        """Content of an image's file; None if there is none."""
        path = self.get_image_uri(image_id)
        return io.BytesIO(Path(path).read_bytes()) if path and Path(path).is_file() else None

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image; empty if it is unknown."""
        try:
            return str(self.folder.image_path(image_id).resolve())
        except UnknownImage:
            return ""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Information on an image, without entries of a wrong type that an older server accepted."""
        try:
            info = trusted_image_info(self.folder.require(image_id).image.info)
        except UnknownImage:
            return {}
        return {**info, "path": self.get_image_uri(image_id)}

    def told_to_viewers(self, image_id: str) -> dict[str, Any]:
        """Information on an image for clients: with the file name of its download, and without paths of the server.

        3D Slicer chooses its reader by that name's ending: a folder of DICOM slices is sent as NIfTI.
        """
        info = self.get_image_info(image_id)
        info.pop("path", None)
        return {**info, "name": self.download_name(image_id)}

    def download_name(self, image_id: str) -> str:
        """File name of an image's download."""
        return download_name(self.folder.image_path(image_id), image_id)

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        """Change the information on an image."""
        self.folder.update_image_info(image_id, info)

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Add a copy of a scan; an id that an image has already is refused."""
        source = Path(image_filename)
        ext = label_suffix(source.name)
        image_id = image_id or source.name.removesuffix(ext)
        with self.folder.incoming(f"scan{ext}") as arrived:
            atomic_files.copy_file(source, arrived)
            self.folder.add_image(image_id, arrived, ext.lower(), image_info or {})
        return image_id

    def receive_image(self, image_id: str, arrived: Path, info: Mapping[str, Any]) -> None:
        """Read a scan that was uploaded into ``folder.incoming``, and move it to its place.

        Raises:
            AlreadyThere: if an image has the id.
            InvalidRequest: if no scan is listed under it.
            UnreadableVolume: if it is no scan.
        """
        if image_id in self.folder.index().objects:
            raise AlreadyThere(taken(image_id))
        require_listed(image_id, label_suffix(arrived.name))
        try:
            verdict = judge(arrived)
            if verdict.kind is None:
                raise UnreadableVolume(f"The file for image '{image_id}' {verdict.reason}")
            read_volume(arrived, image_id)
        except UnreadableVolume as error:
            self._refused = {**dict(list(self._refused.items())[-KEPT_REASONS:]), image_id: str(error)[:MAX_REASON]}
            raise
        self._refused.pop(image_id, None)
        self.folder.add_image(image_id, arrived, label_suffix(arrived.name), info)

    def why_refused(self, image_id: str) -> str | None:
        """Return why the newest upload under an id was refused; None if it was not, or if many others were since then.

        A client that ignored the refusal gets the reason when it asks for the image.
        """
        return self._refused.get(image_id)

    def remove_image(self, image_id: str) -> None:
        """Remove an image and its labels from the datastore; the files are kept in another folder."""
        self.folder.remove_image(image_id)

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> Any:
        """Content of a label's file; None if there is none."""
        path = self.get_label_uri(label_id, label_tag)
        return io.BytesIO(Path(path).read_bytes()) if path else None

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label; empty if there is none."""
        try:
            return str(self.folder.label(label_id, plain_tag(label_tag)).path.resolve())
        except (UnknownLabel, InvalidRequest):
            return ""

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Information on a label; empty if there is no such label."""
        try:
            return self.folder.label_info(label_id, plain_tag(label_tag))
        except (UnknownLabel, InvalidRequest):
            return {}

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids by tag; a label has the id of its image."""
        item = self.folder.index().objects.get(image_id)
        return dict.fromkeys(item.labels, image_id) if item else {}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Id of the label of an image under a tag; empty if there is none."""
        return self.get_labels_by_image_id(image_id).get(plain_tag(tag), "")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Store a copy of a label; the previous label becomes an earlier version."""
        source = Path(label_filename)
        self.folder.put_label(
            image_id, plain_tag(label_tag), source, label_suffix(source.name).lower(), label_info or {}
        )
        return image_id

    def expect_image(self, image_id: str, why: PacsUnavailable | UnknownImage) -> None:
        """Handle a label of an image that is not listed but may exist. A local folder has no such image and refuses.

        Args:
            image_id: id of the image.
            why: the error that says why the image is not listed.

        Raises:
            PacsUnavailable: if ``why`` is one.
            UnknownImage: if ``why`` is one.
        """
        raise why

    def submit_label(self, image_id: str, submitted: Path, tag: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Check a submitted label and store it. A refused label is kept in another folder.

        Args:
            image_id: of a known image.
            submitted: its file, in a folder where files may be written beside it.
            tag: tag of the label.
            info: information that the client sent with it.

        Returns:
            Fields of the reply beside the label's id.

        Raises:
            UnreadableVolume: if it is damaged, or no label map.
            GeometryMismatch: if it lies on another grid than the scan.
            DatasetError: if a value of a final label has no certain name, or what was told has a wrong form.
        """
        try:
            require_bounded("label", image_id, info)
            return self.store_checked(image_id, submitted, tag, checked_label_info(image_id, info))
        except (UnreadableVolume, GeometryMismatch, DatasetError) as error:
            self._keep_refused(image_id, submitted, tag, info, error)
            raise type(error)(f"{error} The label was not stored; the server keeps what was sent aside.") from error

    def store_checked(self, image_id: str, submitted: Path, tag: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Store a label that passed the checks of :meth:`submit_label`."""
        checked = checked_file(submitted, image_id, tag, info, Path(self.get_image_uri(image_id)))
        self.folder.put_label(image_id, tag, checked.path, checked.ext, info, sent=checked.sent)
        return {"warnings": list(checked.warnings)} if checked.warnings else {}

    def change_label_info(self, image_id: str, tag: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change the information on a label, if its names stay certain for its values.

        Returns:
            Fields of the reply: warnings about the names of a final label.

        Raises:
            UnknownLabel: if there is no such label.
            DatasetError: if the changes have a wrong form, or do not name the values of a final label for certain.
        """
        changes = checked_label_info(image_id, changes)
        warnings: tuple[str, ...] = ()
        if "label_info" in changes and tag == FINAL:
            path = self.folder.label(image_id, tag).path
            warnings = check_submission(path, changes["label_info"], self.get_image_uri(image_id), image_id).warnings
        self.update_label_info(image_id, tag, changes)
        return {"warnings": list(warnings)} if warnings else {}

    def restore_label(self, label_id: str, label_tag: str, number: int) -> None:
        """Make an earlier version the label again."""
        self.folder.restore_label(label_id, label_tag, number)

    def _keep_refused(
        self, image_id: str, submitted: Path, tag: str, info: Mapping[str, Any], error: MedVLSAM2Error
    ) -> None:
        told = {"image": image_id, "tag": tag, "reason": str(error), "info": dict(info)}
        self.folder.keep_refused(submitted, told)
        # The id may hold a patient's name, and the error text holds the id: only the kept file has both.
        logger.warning("A label under tag '%s' was refused and kept aside (%s)", tag, type(error).__name__)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label; its versions are kept."""
        self.folder.remove_label(label_id, plain_tag(label_tag))

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        """Change the information on a label; the previous information is kept with its versions."""
        self.folder.update_label_info(label_id, plain_tag(label_tag), info)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Return the path of a new ZIP file of the labelled images, which the caller removes; the route streams."""
        with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file:
            for block in self.archive(limit_cases):
                file.write(block)
            return file.name

    def archive(self, limit_cases: int | None) -> Iterator[bytes]:
        """Yield a ZIP of the labelled images, block by block.

        Raises:
            InvalidRequest: if the limit is below 1.
            DatasetError: if there is nothing to export; both before the first block.
        """
        self.prepare_export()
        return write_archive(self.folder, limit_cases)

    def prepare_export(self) -> None:
        """Fetch the scans that an export needs; a local folder has them all."""

    def refresh(self) -> None:
        """Update the index after files were put into the folder or removed from it."""
        start_s = time.monotonic()
        self.folder.refresh()
        end_s = time.monotonic()
        self._next_refresh_s = end_s + max(REFRESH_S, SHARE_OF_REFRESHES * (end_s - start_s))

    def status(self) -> dict[str, Any]:
        """Number of images, and number of images with a final label."""
        tags: dict[str, int] = {}
        for item in self._seen().objects.values():
            for tag in item.labels:
                tags[tag] = tags.get(tag, 0) + 1
        return {"total": len(self.list_images()), "completed": tags.get(FINAL, 0), "label_tags": tags}

    def left_out(self) -> Mapping[str, str]:
        """Why files of the folder are no scans: by file name, the rest of a sentence that starts with the name."""
        return self._scans.left_out

    def json(self) -> dict[str, Any]:
        """The whole index."""
        return self._seen().as_json()

    def _seen(self) -> StudiesIndex:
        if time.monotonic() > self._next_refresh_s:
            try:
                self.refresh()
            except (FolderBusy, StorageFull) as error:
                logger.warning("The studies are those that were seen last: %s", error)
        return self.folder.index()


def plain_tag(tag: str) -> str:
    """Return a tag as text; the host passes a member of its enumeration."""
    return str(tag.value) if isinstance(tag, DefaultLabelTag) else tag
