"""Files and folders that appear whole or not at all, also when the process is killed or the disk is full.

A file is written under a temporary name in its final folder, flushed to the disk (fsync) and renamed; then the folder
is flushed as well. A reader of the final name sees the old content or the new content, never a part. No other module
of the package or the app renames files (``tests/repository/test_one_way.py``).
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
"""Start of the temporary names. A file that a killed process left under such a name may be removed."""

_NAME_TAIL: Final = 40
"""Characters of the final name that the temporary name keeps: at 4 bytes each they fit the 255 bytes of a file name."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk is full, the quota is used up, or the process may not write so large a file."""

_NO_WRITES: Final = frozenset({errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE})
"""The disk became read-only, the folder belongs to another user, or the disk or the network folder fails."""

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
"""Errors of file systems that have no hard links."""


@contextmanager
def replacing(
    path: Path,
    *,
    private: bool = False,
    flush: bool = True,
    before_rename: Callable[[], object] | None = None,
) -> Iterator[Path]:
    """Give a temporary name to write to; when the block ends, the file written there replaces ``path`` in one step.

    When the block raises, ``path`` is unchanged and no temporary file is left.

    Args:
        path: the final name. Its folder must exist.
        private: whether only this user may read the file; else it gets the process's usual permissions.
        flush: whether the content is on the disk before the rename. A file that need not outlive a power cut, such as
            the answer to one request, can do without: flushing takes milliseconds.
        before_rename: called when the new content is complete; if it raises, ``path`` stays as it is.

    Yields:
        A name in the same folder, with the same suffixes. No file is there yet, unless ``private`` is set: then an
        empty one with the right permissions.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    partial = path.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(6)}-{path.name[-_NAME_TAIL:]}")
    try:
        with no_room_as_error(path.name):
            if private:
                os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
            yield partial
            if flush:
                flush_file(partial)
            if before_rename is not None:
                before_rename()
            partial.replace(path)
            if flush:
                flush_folder(path.parent)
    finally:
        with suppress(OSError):  # on a disk that became read-only the temporary file stays until the next start
            partial.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; when the block ends, it gets the name ``path`` in one step.

    When the block raises, nothing is at ``path`` and no temporary folder is left. What a killed process left of the
    same folder is removed first, so only one process at a time may make a folder of one name.

    Args:
        path: the final name, which nothing has yet. The folders above it are made.

    Yields:
        An empty folder beside ``path``.

    Raises:
        AlreadyThere: if something has the name.
        StorageFull: if there is no room.
    """
    partial = path.with_name(f"{PARTIAL_PREFIX}{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with no_room_as_error(path.name):
            partial.mkdir(parents=True)
            yield partial
            if path.exists():
                raise _taken(path)
            partial.rename(path)
            flush_folder(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def rename(source: Path, path: Path, *, flush: bool = True) -> None:
    """Give a finished file or folder another name on the same file system; a file that has the name is replaced.

    Args:
        source: the file or folder. Its content is on the disk already, where that matters.
        path: its new name.
        flush: whether the new name is on the disk when the function returns.

    Raises:
        StorageFull: if the disk takes no writes. Both names are unchanged.
    """
    with no_room_as_error(path.name):
        source.replace(path)
    if flush:
        flush_folder(path.parent)


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    with replacing(path, private=private) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str, *, private: bool = False, flush: bool = True) -> None:
    """Write a text file (UTF-8) whole or not at all; the arguments are those of :func:`replacing`.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    with replacing(path, private=private, flush=flush) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def copy_file(source: Path, path: Path, *, private: bool = False) -> None:
    """Copy a file's content, whole or not at all.

    Raises:
        StorageFull: if there is no room. ``path`` is unchanged.
    """
    with replacing(path, private=private) as partial:
        shutil.copyfile(source, partial)


def keep_as(source: Path, path: Path) -> None:
    """Give the content of ``source`` a second name, ``path``: by a hard link, or by a copy where links are impossible.

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
    """Move a finished file to a name that no file has yet; both names are on one file system.

    Raises:
        AlreadyThere: if something has the name. ``source`` stays as it is.
        StorageFull: if there is no room.
    """
    flush_file(source)
    try:
        with no_room_as_error(path.name):
            os.link(source, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise _taken(path) from None
        source.rename(path)
    with suppress(FileNotFoundError):
        source.unlink()
    flush_folder(path.parent)


def make_folder(path: Path, *, private: bool = False) -> None:
    """Make a folder and the folders above it; only this user can enter a private folder.

    Raises:
        StorageFull: if there is no room.
    """
    with no_room_as_error(path.name):
        path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER if private else 0o777)


def flush_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    _flush(path, os.O_RDONLY)


def flush_folder(path: Path) -> None:
    """Flush the names in a folder to the disk, where its file system can do that.

    Never raises: the new names are visible already, so the caller must not report that nothing was changed.
    """
    try:
        _flush(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno != errno.EINVAL:
            logger.warning("The folder '%s' could not be flushed to the disk (%s)", path.name, error.strerror)


@contextmanager
def no_room_as_error(name: str) -> Iterator[None]:
    """Raise the project's own error where the disk is full or takes no writes.

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
                f"'{name}' cannot be written ({os.strerror(error.errno)}). Nothing was changed. Check the disk and "
                "try again."
            ) from error
        raise


def _taken(path: Path) -> AlreadyThere:
    return AlreadyThere(f"'{path.name}' exists and is never replaced. Choose another name.")


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
