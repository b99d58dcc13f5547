"""One label of one image: its current file, and every earlier version.

Nothing here takes a lock: the caller holds that of the studies folder (``FolderLock``) while it changes a label.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from medvlsam2 import atomic_files
from medvlsam2.data.reading import names
from medvlsam2.data.studies import versions
from medvlsam2.data.studies.versions import LabelVersion
from medvlsam2.errors import InvalidRequest, UnknownLabel

logger = logging.getLogger(__name__)

LABEL_SUFFIXES: Final = (*names.NIFTI_SUFFIXES, *names.ITK_SUFFIXES, ".json")
"""Label maps, and the markups that carry a report or an answer."""


@dataclass(frozen=True)
class LabelFile:
    """The current file of a label."""

    path: Path
    ext: str
    version: LabelVersion | None
    """None if the label was not submitted to a server: a person copied the file into the folder."""


@dataclass(frozen=True)
class LabelPlace:
    """The label of one image under one tag: its file, and the folder of its versions.

    Args:
        tag_folder: ``labels/<tag>``.
        image_id: the image, by which its label and versions are named.
    """

    tag_folder: Path
    image_id: str

    def __post_init__(self) -> None:
        for name in (self.image_id, self.tag_folder.name):
            if not name or name != Path(name).name or name.startswith(".") or "\0" in name:
                raise InvalidRequest(f"The name {name!r} is not allowed. Give one without '/' and a leading dot.")

    def current(self) -> LabelFile | None:
        """The current label: of several files the one that was saved last; None if there is no file."""
        files = self.files()
        if not files:
            return None
        known = versions.records(self.versions_folder)
        found = [LabelFile(path, label_suffix(path.name), _version_of(path, known)) for path in files]
        if all(file.version for file in found):
            return max(found, key=lambda file: file.version.number if file.version else 0)
        return max(found, key=lambda file: file.path.stat().st_mtime_ns)

    def files(self) -> list[Path]:
        """Every file that is a label of this image; after a change that was interrupted there may be two."""
        names = (f"{self.image_id}{spelled}" for ext in LABEL_SUFFIXES for spelled in (ext, ext.upper()))
        own = (name for name in names if self.image_id + label_suffix(name) == name)
        return [path for path in map(self.tag_folder.joinpath, own) if path.is_file()]

    def everything(self) -> list[Path]:
        """The label's files and the folder of its versions, if they exist."""
        return [*self.files(), *([self.versions_folder] if self.versions_folder.is_dir() else [])]

    @contextmanager
    def putting(
        self, source: Path, ext: str, info: Mapping[str, Any], sent: Path | None = None
    ) -> Iterator[PreparedLabel]:
        """Prepare a new version; no reader sees a change before its ``commit``.

        Args:
            source: the file. It is copied.
            ext: suffix that the label's file gets.
            info: what the client sent along.
            sent: the file that came, where ``source`` is that written anew: it is kept beside the version's record.

        Yields:
            The prepared label, on the disk beside its place. It is discarded unless it was committed.

        Raises:
            StorageFull: if there is no room. Nothing was changed.
        """
        atomic_files.make_folder(self.tag_folder)
        partial = self.tag_folder / f"{atomic_files.PARTIAL_PREFIX}{secrets.token_hex(6)}{ext}"
        try:
            with atomic_files.no_room_as_error(f"{self.image_id}{ext}"):
                shutil.copyfile(source, partial)
                atomic_files.flush_file(partial)
            self._keep_current()
            prepared = PreparedLabel(self, partial, self._new_version(ext, partial, info))
            with self._keeping_sent(prepared.version, sent):
                yield prepared
        finally:
            with suppress(OSError):  # a disk that takes no writes keeps it until the next start
                partial.unlink()

    def put(self, source: Path, ext: str, info: Mapping[str, Any]) -> LabelVersion:
        """Store a new version at once; see :meth:`putting`.

        Raises:
            StorageFull: if there is no room. Nothing was changed.
        """
        with self.putting(source, ext, info) as prepared:
            prepared.commit()
            return prepared.version

    def set_info(self, info: Mapping[str, Any]) -> LabelVersion:
        """Give the current label another info. This makes a new version, so that the version before can be restored.

        Raises:
            UnknownLabel: if there is no label.
            StorageFull: if there is no room. Nothing was changed.
        """
        label = self.require()
        self._keep_current()
        version = self._new_version(label.ext, label.path, info)
        versions.write_record(self.versions_folder, version)
        return version

    def adopt(self, info: Mapping[str, Any]) -> None:
        """Write a record for a label without one, so that its names outlive the index.

        Of several files, the current one stays the label, and the others are set aside.

        Raises:
            UnknownLabel: if there is no label.
            StorageFull: if there is no room.
        """
        label = self.require()
        for path in self.files():
            if path != label.path:
                self._set_aside(path)
        if label.version is None:
            self._record_as_found(label.path, label.ext, info)

    def remove(self) -> None:
        """Remove the label; its versions stay.

        Raises:
            UnknownLabel: if there is no label.
            StorageFull: if there is no room.
        """
        self.require()
        for path in self.files():
            self._set_aside(path)

    def versions(self) -> list[LabelVersion]:
        """Every version whose file still exists, oldest first."""
        known = versions.records(self.versions_folder)
        return [version for version in known if self._file_of(version, known) is not None]

    def version_file(self, number: int) -> tuple[Path, LabelVersion]:
        """The file and the record of one version.

        Raises:
            UnknownLabel: if there is no such version.
        """
        known = versions.records(self.versions_folder)
        there = []
        for version in known:
            path = self._file_of(version, known)
            if path is not None and version.number == number:
                return path, version
            if path is not None:
                there.append(str(version.number))
        raise UnknownLabel(
            f"The label of image '{self.image_id}' under tag '{self.tag_folder.name}' has no version {number}. "
            f"There are: {', '.join(there) or 'none'}."
        )

    def require(self) -> LabelFile:
        """The current label.

        Raises:
            UnknownLabel: if there is none.
        """
        label = self.current()
        if label is None:
            raise UnknownLabel(f"Image '{self.image_id}' has no label under tag '{self.tag_folder.name}'.")
        return label

    @property
    def versions_folder(self) -> Path:
        """Where the records and the earlier files are."""
        return self.tag_folder / versions.VERSIONS / self.image_id

    def _new_version(self, ext: str, path: Path, info: Mapping[str, Any]) -> LabelVersion:
        number = versions.next_number(self.versions_folder)
        return LabelVersion(number, ext, versions.content_of(path), versions.now(), dict(info))

    def _record_as_found(self, path: Path, ext: str, info: Mapping[str, Any]) -> LabelVersion:
        """Write the record of a file that a person copied in; its time of change stands for the time of saving."""
        saved = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        number = versions.next_number(self.versions_folder)
        version = LabelVersion(number, ext, versions.content_of(path), saved, dict(info))
        versions.write_record(self.versions_folder, version)
        return version

    def _file_of(self, version: LabelVersion, known: Sequence[LabelVersion]) -> Path | None:
        """The file with a version's content: one kept for it or for an equal version, or the current label."""
        same = [other for other in known if other.content.sha256 == version.content.sha256]
        places = [versions.kept_path(self.versions_folder, other) for other in (version, *same)]
        places += [path for path in self.files() if label_suffix(path.name) == version.ext]
        return next((path for path in places if versions.has_content(path, version.content)), None)

    @contextmanager
    def _keeping_sent(self, version: LabelVersion, sent: Path | None) -> Iterator[None]:
        """Keep the file that the client sent, and remove it again if its version is not committed."""
        if sent is None:
            yield
            return
        kept = versions.sent_path(self.versions_folder, version, label_suffix(sent.name))
        atomic_files.make_folder(kept.parent)
        atomic_files.copy_file(sent, kept)
        try:
            yield
        finally:
            if not versions.record_path(self.versions_folder, version.number).is_file():
                kept.unlink(missing_ok=True)

    def _keep_current(self) -> None:
        """Give every file of the label a second name among the versions, so that its replacement loses nothing."""
        for path in self.files():
            self._keep(path)

    def _keep(self, path: Path) -> None:
        ext = label_suffix(path.name)
        version = _version_of(path, versions.records(self.versions_folder))
        if version is None:
            version = self._record_as_found(path, ext, {})
        kept = versions.kept_path(self.versions_folder, version)
        if not versions.has_content(kept, version.content):
            kept.unlink(missing_ok=True)
            atomic_files.keep_as(path, kept)

    def _set_aside(self, path: Path) -> None:
        self._keep(path)
        path.unlink()
        atomic_files.flush_folder(path.parent)


@dataclass(frozen=True)
class PreparedLabel:
    """A new version that is written to the disk, but is not the current label yet."""

    place: LabelPlace
    partial: Path
    version: LabelVersion

    def commit(self) -> None:
        """Make it the current label. The label before stays among the versions.

        Raises:
            StorageFull: if there is no room. The label is unchanged.
        """
        folder = self.place.versions_folder
        path = self.partial.with_name(f"{self.place.image_id}{self.version.ext}")
        before = self.place.files()
        versions.write_record(folder, self.version)
        try:
            atomic_files.rename(self.partial, path, flush=False)
        except BaseException:
            versions.record_path(folder, self.version.number).unlink(missing_ok=True)
            raise
        for other in before:
            if other != path:
                other.unlink(missing_ok=True)
        atomic_files.flush_folder(path.parent)


def own_suffix(image_id: str, ext: str) -> str:
    """The suffix of an image's label that no other image's label has: "p.seg" with ".nrrd" would be the label of "p".

    Example:
        >>> own_suffix("p", ".nrrd"), own_suffix("p.seg", ".nrrd")
        ('.nrrd', '.seg.nrrd')
    """
    return label_suffix(f"{image_id}{ext}".lower()) or ext


def label_suffix(name: str) -> str:
    """The suffix of a label's file as it is written, in small or in capital letters; empty where it is none.

    Example:
        >>> label_suffix("chest.1.NII.GZ")
        '.NII.GZ'
    """
    spelled = (spelling for suffix in LABEL_SUFFIXES for spelling in (suffix, suffix.upper()))
    suffix = next((suffix for suffix in spelled if name.endswith(suffix)), "")
    return suffix if len(name) > len(suffix) else ""


def _version_of(path: Path, known: Sequence[LabelVersion]) -> LabelVersion | None:
    """The newest record that describes a file."""
    fitting = (version for version in reversed(known) if version.ext == label_suffix(path.name))
    return next((version for version in fitting if versions.has_content(path, version.content)), None)
