"""Which final labels the PACS has, and which wait for it: one small file for each image, so that nothing is forgotten.

There is no separate queue that could disagree with the labels: a label waits for the PACS as long as its fingerprint
is not that of the label that was sent last. So a label that was submitted, restored or renamed is sent, whatever moment
the server was killed at.

Several servers may share the folder. What another one wrote is read again before it is used, and who sends a label or
takes one from the PACS holds a lock of that label: it goes to the PACS once.
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
"""Key of a label's info with an id of its own for each submission."""

_COUNTED: Final = (
    SUBMISSION, "ts", "restored_from", "label_info", "model", "user", "client_id",
)  # fmt: skip
"""What of a label's info reaches its SEG, or changes with its voxels; a reviewer's remark does neither."""


_Stamp = tuple[int, int, int] | None
"""Changes with every state that is renamed into place; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class LabelState:
    """What became of the final label of one image at the PACS."""

    fingerprint: str = ""
    """Of the label that was sent last."""
    sent: str = ""
    """When, in UTC, as ISO 8601; empty where it came here in another way."""
    seg: Mapping[str, str] | None = None
    """Header of the SEG that holds it, which the next one will replace."""
    gone: bool = False
    """Whether the PACS had that SEG and does not list it any more."""
    uids: tuple[str, ...] = ()
    """SOPInstanceUIDs of all SEGs of this image that went from here to the PACS, or came from it."""
    prepared: str = ""
    """Fingerprint of the label whose SEG lies ready."""
    prepared_seg: Mapping[str, str] | None = None
    attempts: int = 0
    """How often the label that waits was tried."""
    reason: str = ""
    """Why the last try failed."""


class LabelStates:
    """The states of all images, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.is_new = not folder.is_dir()
        atomic_files.make_folder(folder, private=True)
        self._states: dict[str, tuple[_Stamp, LabelState]] = {}

    def of(self, image_id: str) -> LabelState:
        """The state of an image's final label, as any server that shares the folder left it."""
        path = self._path(image_id)
        stamp = _stamp(path)
        known = self._states.get(image_id)
        if known is None or known[0] != stamp:
            known = self._states[image_id] = (stamp, _read(path) if stamp else LabelState())
        return known[1]

    @contextmanager
    def changing(self, image_id: str, wait_s: float) -> Iterator[None]:
        """Keep other threads and servers from sending this image's label, or taking one from the PACS, meanwhile.

        Raises:
            FolderBusy: if another one does so for longer than ``wait_s``.
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
        """Change and keep a state.

        Raises:
            StorageFull: if there is no room. Nothing was changed.
        """
        state = replace(self.of(image_id), **changes)
        path = self._path(image_id)
        atomic_files.write_text(path, json.dumps(asdict(state)), private=True)
        self._states[image_id] = (_stamp(path), state)
        return state

    def failed(self, image_id: str, reason: str) -> LabelState:
        """Count a try that failed; on a full disk in memory alone."""
        state = replace(self.of(image_id), attempts=self.of(image_id).attempts + 1, reason=reason)
        self._states[image_id] = (_stamp(self._path(image_id)), state)
        try:
            self.change(image_id)
        except StorageFull as error:
            logger.warning("%s", error)
        return state

    def seg_file(self, image_id: str) -> Path:
        """Where the SEG of an image lies while it waits."""
        return self._folder / f"{image_id}.dcm"

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.json"


def fingerprint(ext: str, info: Mapping[str, Any]) -> str:
    """What identifies a label as it is told of in the index."""
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
