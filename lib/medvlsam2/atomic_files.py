"""Files that appear whole or not at all, also when the process is killed or the disk is full.

A file is written under another name in the folder where it belongs, brought to the disk (fsync), renamed into place,
and the folder is brought to the disk as well. Whoever opens the final name sees the old content or the new one.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from medvlsam2.errors import AlreadyThere, StorageFull

logger = logging.getLogger(__name__)

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700

PARTIAL_PREFIX: Final = ".partial-"
"""Names of files that are being written. One that a killed process left behind may be removed."""

_NAME_TAIL: Final = 40
"""Characters of the final name that a partial one ends in: at 4 bytes each, within the 255 that a name may have."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Disk full, quota used up, and the process's limit of file size."""

_NO_WRITES: Final = frozenset({errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE})
"""A disk that became read-only, a folder of another user, a disk or a network folder that fails."""

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
"""What file systems without hard links answer."""


@contextmanager
def replacing(
    path: Path, *, private: bool = False, before_rename: Callable[[], object] | None = None
) -> Iterator[Path]:
    """A name to write to; when the block ends, what is there replaces ``path`` in one step.

    When the block raises, ``path`` is unchanged and nothing is left behind.

    Args:
        path: the final name. Its folder must exist.
        private: only this user may read the file; else the process's usual permissions.
        before_rename: called when the new content is on the disk; if it raises, ``path`` stays as it is.

    Yields:
        A name in the same folder, with the same suffixes. No file is there yet.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    partial = path.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(6)}-{path.name[-_NAME_TAIL:]}")
    try:
        with no_room_as_error(path.name):
            if private:
                os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
            yield partial
            flush_file(partial)
            if before_rename is not None:
                before_rename()
            partial.replace(path)
            flush_folder(path.parent)
    finally:
        with suppress(OSError):  # a disk that takes no writes keeps it until the next start
            partial.unlink()


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    with replacing(path, private=private) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file (UTF-8) whole or not at all.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    write_bytes(path, text.encode("utf-8"), private=private)


def copy_file(source: Path, path: Path, *, private: bool = False) -> None:
    """Copy a file's content, whole or not at all.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    with replacing(path, private=private) as partial:
        shutil.copyfile(source, partial)


def keep_as(source: Path, path: Path) -> None:
    """Give the content of ``source`` the second name ``path``: by a hard link, or a copy where there are none.

    A later :func:`replacing` of ``source`` leaves ``path`` as it is. A ``path`` that exists is left alone.

    Raises:
        StorageFull: if there is no room.
    """
    try:
        with no_room_as_error(path.name):
            os.link(source, path)
            flush_folder(path.parent)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy_file(source, path)


def move_new(source: Path, path: Path) -> None:
    """Move a finished file to a name that nobody has; both lie on one file system.

    Raises:
        AlreadyThere: if something has the name. ``source`` stays.
        StorageFull: if there is no room.
    """
    flush_file(source)
    try:
        with no_room_as_error(path.name):
            os.link(source, path)
    except FileExistsError:
        raise AlreadyThere(f"'{path.name}' exists and is never replaced. Choose another name.") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise AlreadyThere(f"'{path.name}' exists and is never replaced. Choose another name.") from None
        source.rename(path)
    with suppress(FileNotFoundError):
        source.unlink()
    flush_folder(path.parent)


def make_folder(path: Path, *, private: bool = False) -> None:
    """Make a folder and those above it; a private one can be entered by this user alone.

    Raises:
        StorageFull: if there is no room.
    """
    with no_room_as_error(path.name):
        path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER if private else 0o777)


def flush_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    _flush(path, os.O_RDONLY)


def flush_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where its file system can do that.

    Never raises: the change of the names can be seen already, and the caller must not say that nothing was changed.
    """
    try:
        _flush(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno != errno.EINVAL:
            logger.warning("The folder '%s' could not be brought to the disk (%s)", path.name, error.strerror)


@contextmanager
def no_room_as_error(name: str) -> Iterator[None]:
    """Tell a disk that is full, or takes no writes, as an error of the project's family.

    Raises:
        StorageFull: if the block found no room for ``name``, or could not write it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(
                f"There is no room on the disk to write '{name}' ({os.strerror(error.errno)}). Nothing was changed. "
                "Free some space and try again."
            ) from error
        if error.errno in _NO_WRITES:
            raise StorageFull(
                f"'{name}' cannot be written ({os.strerror(error.errno)}). Nothing was changed. Look at the disk and "
                "try again."
            ) from error
        raise


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
