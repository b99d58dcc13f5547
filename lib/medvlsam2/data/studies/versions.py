"""The versions of one label: the content of each, and what its values mean.

A version's record refers to its file by the hash of the content, and the newest record with a file's hash gives the
names of its values. So the names of a label never reach the voxels of another one, at whatever moment a process was
killed.

    labels/final/p1.nii.gz                     the label as it is now
    labels/final/.versions/p1/0001.json        the record of its first version
    labels/final/.versions/p1/0001.label.nii.gz  what that was, kept when the second replaced it
    labels/final/.versions/p1/0002.json        the record of the label as it is now
    labels/final/.versions/p1/0002.sent.nii    what was sent, where the label is that written anew
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from medvlsam2 import atomic_files

logger = logging.getLogger(__name__)

VERSIONS: Final = ".versions"


@dataclass(frozen=True)
class Content:
    """What identifies the content of a file."""

    sha256: str
    size_bytes: int
    mtime_ns: int
    """Time of the last change. A rename keeps it; if it and the size are the same, the hash is not computed again."""


@dataclass(frozen=True)
class LabelVersion:
    """One version of a label."""

    number: int
    """Counts from 1."""
    ext: str
    """Suffix of its file, e.g. ".nii.gz"."""
    content: Content
    saved: str
    """Time of saving, in UTC, as ISO 8601."""
    info: Mapping[str, Any]
    """What the client sent with the label; its ``label_info`` gives the names of the values."""


def content_of(path: Path) -> Content:
    """Read a file and return what identifies its content."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    stat = path.stat()
    return Content(digest.hexdigest(), stat.st_size, stat.st_mtime_ns)


def now() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def records(folder: Path) -> list[LabelVersion]:
    """All readable records in the folder of one label's versions, oldest first."""
    found = []
    for path in sorted(folder.glob("[0-9]*.json")) if folder.is_dir() else ():
        version = _read(path)
        if version is not None:
            found.append(version)
    return sorted(found, key=lambda version: version.number)


def next_number(folder: Path) -> int:
    """The first number above every one that was ever used in the folder."""
    used = [int(path.name.split(".")[0]) for path in folder.glob("[0-9]*") if path.name.split(".")[0].isdecimal()]
    return max(used, default=0) + 1


def write_record(folder: Path, version: LabelVersion) -> None:
    """Write a version's record, whole or not at all.

    Raises:
        StorageFull: if there is no room.
    """
    record = {
        "version": version.number,
        "ext": version.ext,
        "sha256": version.content.sha256,
        "bytes": version.content.size_bytes,
        "mtime_ns": version.content.mtime_ns,
        "saved": version.saved,
        "info": dict(version.info),
    }
    atomic_files.make_folder(folder)
    atomic_files.write_text(record_path(folder, version.number), json.dumps(record, indent=1, default=str))


def record_path(folder: Path, number: int) -> Path:
    """Where the record of a version is."""
    return folder / f"{number:04d}.json"


def kept_path(folder: Path, version: LabelVersion) -> Path:
    """Where the file of a version is kept after another one replaced it.

    Records and text labels both end in ``.json``, so the names of kept files have ``.label`` in them.
    """
    return folder / f"{version.number:04d}.label{version.ext}"


def sent_path(folder: Path, version: LabelVersion, suffix: str) -> Path:
    """Where the file that an annotator sent is kept, if the version is that label written anew."""
    return folder / f"{version.number:04d}.sent{suffix}"


def has_content(path: Path, content: Content) -> bool:
    """Whether a file has the content that a record describes; it is hashed only if its time of change differs."""
    try:
        stat = path.stat()
        if stat.st_size != content.size_bytes:
            return False
        return stat.st_mtime_ns == content.mtime_ns or content_of(path).sha256 == content.sha256
    except OSError:
        return False


def _read(path: Path) -> LabelVersion | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return LabelVersion(
            number=int(record["version"]),
            ext=str(record["ext"]),
            content=Content(str(record["sha256"]), int(record["bytes"]), int(record["mtime_ns"])),
            saved=str(record["saved"]),
            info=dict(record["info"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("The record '%s' of a label's version cannot be read (%s)", path.name, type(error).__name__)
        return None
