"""State of each final label at the PACS (sent, or waiting), in one small file for each image.

There is no separate queue that could disagree with the labels: a label waits for the PACS as long as its fingerprint
differs from that of the label that was sent last. So every label that was submitted, restored or renamed is sent, also
if the server was killed in between.

Several servers may share the folder. A server reads a state again before it uses it. It holds the lock of a label while
it sends that label to the PACS or takes it from there: so each label reaches the PACS once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from medvlsam2 import atomic_files
from medvlsam2.errors import FolderBusy, StorageFull

logger = logging.getLogger(__name__)

SUBMISSION: Final = "submission"
"""Key of a label's information for the random id of its submission."""

_COUNTED: Final = (
    SUBMISSION, "ts", "restored_from", "label_info", "model", "user", "client_id",
)  # fmt: skip
"""Keys of a label's information that are written into its SEG or change with its voxels; remarks are not among them."""


_Stamp = tuple[int, int, int] | None
"""Value that changes whenever the state's file is replaced; None if there is no file."""


@dataclass(frozen=True, kw_only=True)
class LabelState:
    """State of the final label of one image at the PACS."""

    fingerprint: str = ""
    """Fingerprint of the label that was sent last."""
    sent: str = ""
    """Time at which it was sent, in UTC, as ISO 8601; empty if the label came from the PACS."""
    seg: Mapping[str, str] | None = None
    """Header of the SEG with that label; the next SEG will replace it."""
    gone: bool = False
    """Whether the PACS listed that SEG and does not list it any more."""
    uids: tuple[str, ...] = ()
    """SOPInstanceUIDs of all SEGs of this image that went from here to the PACS, or came from it."""
    prepared: str = ""
    """Fingerprint of the label whose SEG is prepared."""
    prepared_seg: Mapping[str, str] | None = None
    attempts: int = 0
    """Number of attempts to send the label that waits."""
    reason: str = ""
    """Why the last attempt failed."""


class LabelStates:
    """The states of all images, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.is_new = not folder.is_dir()
        atomic_files.make_folder(folder, private=True)
        self._states: dict[str, tuple[_Stamp, LabelState]] = {}

    def of(self, image_id: str) -> LabelState:
        """Return the state of an image's final label, with the changes of other servers that share the folder."""
        path = self._path(image_id)
        stamp = _stamp(path)
        known = self._states.get(image_id)
        if known is None or known[0] != stamp:
            known = self._states[image_id] = (stamp, _read(path) if stamp else LabelState())
        return known[1]

    @contextmanager
    def changing(self, image_id: str, wait_s: float) -> Iterator[None]:
        """While the block runs, no other thread or server sends this image's label or takes one from the PACS.

        Raises:
            FolderBusy: if another one holds the lock for longer than ``wait_s``.
        """
        try:
            with atomic_files.no_room_as_error("the lock of a label"):
                lock = FileLock(self._folder / f"{image_id}.lock", timeout=wait_s).acquire()
        except Timeout:
            raise FolderBusy(
                f"The label of image '{image_id}' is on its way to or from the PACS already. Try again in a minute."
            ) from None
        with lock:
            yield

    def change(self, image_id: str, **changes: Any) -> LabelState:
        """Change a state and write it to the disk.

        Raises:
            StorageFull: if there is no room. Nothing was changed.
        """
        state = replace(self.of(image_id), **changes)
        path = self._path(image_id)
        atomic_files.write_text(path, json.dumps(asdict(state)), private=True)
        self._states[image_id] = (_stamp(path), state)
        return state

    def failed(self, image_id: str, reason: str) -> LabelState:
        """Count a failed attempt; if the disk is full, in memory only."""
        state = replace(self.of(image_id), attempts=self.of(image_id).attempts + 1, reason=reason)
        self._states[image_id] = (_stamp(self._path(image_id)), state)
        try:
            self.change(image_id)
        except StorageFull as error:
            logger.warning("%s", error)
        return state

    def seg_file(self, image_id: str) -> Path:
        """Return the path of an image's SEG while it waits for the PACS."""
        return self._folder / f"{image_id}.dcm"

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.json"


def fingerprint(ext: str, info: Mapping[str, Any]) -> str:
    """Return a text that identifies a label by its entry in the index."""
    counted = {key: info.get(key) for key in _COUNTED}
    return hashlib.sha256(json.dumps([ext, counted], sort_keys=True, default=str).encode()).hexdigest()


def _stamp(path: Path) -> _Stamp:
    try:
        told = path.stat()
    except FileNotFoundError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


def _read(path: Path) -> LabelState:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return LabelState(**{**record, "uids": tuple(record["uids"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("The state of a label at the PACS cannot be read (%s): it is sent again", type(error).__name__)
        return LabelState()
