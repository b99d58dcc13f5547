"""Which image a request may name: one of the datastore, of a session, or the one it uploads itself.

The host takes any path of the server that exists. Here the id must be known, or the path must be one that the
host has just written itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.datastore import Datastore
from monailabel.utils.sessions import Sessions

from medvlsam2.errors import UnknownImage, nearest_hint


def require_known_image(request: Mapping[str, Any], datastore: Datastore, sessions: Sessions | None) -> str:
    """Name under which the image of a request may appear in messages.

    Raises:
        UnknownImage: if the request names nothing that it may read.
    """
    image = request.get("image")
    if not isinstance(image, str) or not image:
        raise UnknownImage(
            f"The request names no image ({image!r}). Give the id of one in the datastore or of a "
            "session that has not expired, or upload a file."
        )
    if request.get("session") and sessions is not None and _inside(image, sessions.store_path):
        return Path(image).parent.name
    if Path(image).parent == Path(tempfile.gettempdir()) and Path(image).is_file():
        return Path(image).name
    require_image_id(image, datastore)
    return image


def require_image_id(image_id: str, datastore: Datastore) -> None:
    """Refuse an id that the datastore does not hold.

    Raises:
        UnknownImage: with the nearest ids that there are.
    """
    if image_id in datastore.list_images():
        return
    look_again(datastore)
    known = datastore.list_images()
    if image_id not in known:
        raise UnknownImage(
            f"Image '{image_id}' is not in the datastore. {nearest_hint(image_id, known)} It holds "
            f"{len(known)} images; GET /datastore/?output=all lists them."
        )


def look_again(datastore: Datastore) -> None:
    """Forget what the datastore remembers of its source, so that new studies and labels are seen."""
    if isinstance(datastore, DICOMWebDatastore):
        DICOMWebDatastore.list_images.cache.clear()
        DICOMWebDatastore.get_labeled_images.cache.clear()
    else:
        datastore.refresh()


def _inside(path: str, folder: str) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())
