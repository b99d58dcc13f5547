"""Which image a request may name: one of the datastore, of a session, or the one it uploads itself.

The host takes any path of the server that exists. Here the id must be known, or the path must be one that the
host has just written itself.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monailabel.interfaces.datastore import Datastore
from monailabel.utils.sessions import Sessions

from label_tasks.store.scan_folder import ScanFolder
from label_tasks.uploads.private_files import PREFIX
from medvlsam2.errors import PacsUnavailable, StorageFull, UnknownImage, UnreadableVolume, nearest_hint

logger = logging.getLogger(__name__)


CHECKED: Final = "checked_image"
"""Key of the app's request under which a route of ours hands over an image that it has checked already."""


@dataclass(frozen=True)
class KnownImage:
    """The scan that a request is about; the request may read it."""

    name: str
    """Under which it may appear in messages."""
    file: str | None = None
    """File or folder of an upload or a session; None for an image of the datastore, which alone knows where it is."""

    @property
    def is_stored(self) -> bool:
        """Whether the datastore holds the scan under this name, so that results can be stored beside it."""
        return self.file is None

    def path(self, datastore: Datastore) -> str:
        """File or folder that is read. Of an image in a PACS, its series is fetched now if it is not here yet."""
        return str(datastore.get_image_uri(self.name)) if self.file is None else self.file


def known_image(request: Mapping[str, Any], datastore: Datastore, sessions: Sessions | None) -> KnownImage:
    """The scan that a request names; it is checked here unless a route of ours has checked it.

    Raises:
        UnknownImage: if the request names nothing that it may read.
    """
    checked = request.get(CHECKED)
    # Clients send JSON, so none of them can put a record of this class there.
    return checked if isinstance(checked, KnownImage) else require_known_image(request, datastore, sessions)


def require_known_image(request: Mapping[str, Any], datastore: Datastore, sessions: Sessions | None) -> KnownImage:
    """The scan that a request names: an id is always one of the datastore, never a file of the same name elsewhere.

    Raises:
        UnknownImage: if the request names nothing that it may read.
    """
    image = request.get("image")
    if not isinstance(image, str) or not image:
        raise UnknownImage(
            f"The request names no image ({image!r}). Give the id of one in the datastore or of a "
            "session that has not expired, or upload a file."
        )
    if request.get("session") and sessions is not None and _lies_in(image, sessions.store_path):
        return KnownImage(str(request["session"]["name"]), image)
    if _is_upload(Path(image)) and Path(image).is_file():
        return KnownImage(Path(image).name, image)
    require_image_id(image, datastore)
    return KnownImage(image)


def require_image_id(image_id: str, datastore: Datastore) -> None:
    """Refuse an id that the datastore does not hold.

    Raises:
        UnknownImage: with the nearest ids that there are.
        UnreadableVolume: if its upload was refused, with the reason.
        PacsUnavailable: if it is not known, and the PACS cannot be asked.
    """
    if image_id in datastore.list_images():
        return
    datastore.refresh()
    known = datastore.list_images()
    if image_id not in known:
        reason = datastore.why_refused(image_id) if isinstance(datastore, ScanFolder) else None
        if reason is not None:
            raise UnreadableVolume(f"Image '{image_id}' is not in the datastore: its upload was refused. {reason}")
        raise UnknownImage(
            f"Image '{image_id}' is not in the datastore. {nearest_hint(image_id, known)} It holds "
            f"{len(known)} images; GET /datastore/?output=all lists them."
        )


def refresh(datastore: Datastore) -> None:
    """Take up new studies and labels of the datastore's source, or go on with those that were seen last."""
    try:
        datastore.refresh()
    except (PacsUnavailable, StorageFull) as error:
        logger.warning("The studies are those that were seen last: %s", error)


def _is_upload(path: Path) -> bool:
    """Whether a file lies where the server writes uploads: in the temporary folder, or a private folder in it."""
    temporary = Path(tempfile.gettempdir())
    return path.parent == temporary or (
        path.parent.parent == temporary and path.parent.name.startswith(PREFIX) and ".." not in path.parts
    )


def _lies_in(path: str, folder: str) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())
