"""The scans that lie in a studies folder: every file or folder that the readers take for a scan, under a lasting id."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from medvlsam2.data.reading import names, scan_kinds
from medvlsam2.data.reading.plain_names import require_plain_name, shown
from medvlsam2.data.studies.index import INDEX, LABELS, DamagedIndex, read_index
from medvlsam2.data.studies.scan_list import FoundScan, ScanList
from medvlsam2.errors import InvalidRequest

logger = logging.getLogger(__name__)

_OURS: Final = ("datastore_v2.", "medvlsam2_")
"""First letters of the names of the server's own files."""


class LocalScans:
    """Lists the scans of a folder, and logs each file that is left out once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self.left_out: Mapping[str, str] = {}
        """By file name, why the file was no scan when the folder was last looked through."""

    def __call__(self, folder: Path) -> ScanList:
        """All scans of a folder, and why its other files are no scans."""
        found = list_scans(folder)
        self.left_out = found.left_out
        for name, reason in found.left_out.items():
            if (name, reason) not in self._told:
                self._told.add((name, reason))
                logger.warning("Not among the studies: '%s' %s", name, reason)
        return found


def list_scans(folder: Path) -> ScanList:
    """The scans of a studies folder by image id.

    An id that the index knows stays with its file, whatever other files are put beside it. So a label never comes to
    belong to another scan.
    """
    ours = [path.name for path in folder.iterdir() if path.name.startswith(_OURS)]
    listing = scan_kinds.list_scans(folder, ignored={LABELS, *ours}, registered=_registered(folder))
    left_out = {item.name: item.reason for item in listing.left_out}
    scans = {}
    for scan in listing.scans:
        try:
            require_plain_name("image", scan.image_id)
        except InvalidRequest as error:
            left_out[shown(scan.path.name)[1:-1]] = f"cannot be named in a request: {error}"
            continue
        scans[scan.image_id] = FoundScan(scan.path.name, scan.path.name[len(scan.image_id) :], scan.files)
    return ScanList(scans, left_out)


def require_listed(image_id: str, ext: str) -> None:
    """Refuse an id whose file would not be listed: the name is one of the server's own, or would get another id.

    Raises:
        InvalidRequest: naming the id.
    """
    name = f"{image_id}{ext}"
    if name.lower().startswith(_OURS) or names.default_image_id(Path(name)) != image_id or ext == ".seg.nrrd":
        raise InvalidRequest(
            f"The image {shown(image_id)} cannot be taken: a file '{name}' is the server's own or a segmentation, or "
            "has another id, so that it would not be listed. Choose another id."
        )


def _registered(folder: Path) -> dict[str, str]:
    try:
        objects = read_index(folder / INDEX).objects
    except (FileNotFoundError, DamagedIndex):
        return {}
    return {image_id: item.image.file or f"{image_id}{item.image.ext}" for image_id, item in objects.items()}
