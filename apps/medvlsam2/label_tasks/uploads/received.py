"""Uploaded files under names that the server chooses, and the scan in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from label_tasks.uploads import archives
from label_tasks.uploads.private_files import write_private
from medvlsam2.data.reading.dicom_mark import dicom_files
from medvlsam2.data.reading.names import META_SUFFIXES, NIFTI_SUFFIXES, is_hidden
from medvlsam2.data.reading.plain_names import shown
from medvlsam2.data.reading.scan_kinds import only_scan
from medvlsam2.errors import InvalidRequest

SCANS: Final = (*NIFTI_SUFFIXES, ".nrrd", ".nhdr", *META_SUFFIXES)
"""Suffixes of files that are a scan or the header of a scan."""
SLICES: Final = (".dcm", ".ima", ".dicom")
DATA: Final = (".raw.gz", ".raw", ".zraw", ".img", ".dat", ".gz", ".bin")
"""Suffixes of data files that the header of a scan may name."""
DETACHED: Final = (".mhd", ".nhdr")
"""Suffixes of headers that name their data file: only with such a header uploads keep their names."""

_JUNK: Final = frozenset({"thumbs.db", "desktop.ini", "dicomdir"})
_MAX_NAME_BYTES: Final = 200


@dataclass
class Received:
    """A new private folder for uploaded files.

    No file gets a suffix that Python or a library loader searches for, whatever its name in the upload.
    """

    folder: Path
    _count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700)

    def add(self, name: str, source: BinaryIO, *, with_names: bool) -> None:
        """Write one uploaded file into the folder; unpack a zip archive without the files that systems add to folders.

        Raises:
            InvalidRequest: if an archive comes after other files, cannot be unpacked, or two data files have one name.
            TooLarge: if it unpacks to too much.
        """
        if ending(name, (".zip",)):
            if self._count:
                raise InvalidRequest("A zip archive comes with other files. Send it alone, with all of the scan in it.")
            archive = self.folder / "archive"
            write_private(source, archive)
            archives.unpack(archive, lambda member: self._place(member, with_names=True))
            archive.unlink()
            return
        path = self._place(name, with_names=with_names)
        if path is not None:
            write_private(source, path)

    def scan(self) -> Path:
        """Return the file or folder to read: one scan, or a folder of slices. Other files beside slices are removed.

        Raises:
            UnreadableVolume: if there is no scan, or more than one.
        """
        found = only_scan(self.folder)
        if found == self.folder:
            slices = set(dicom_files(self.folder))
            for path in set(self.folder.iterdir()) - slices:
                path.unlink()
        return found

    def _place(self, name: str, *, with_names: bool) -> Path | None:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        base = parts[-1] if parts else ""
        if not base or any(is_hidden(Path(part)) for part in parts) or base.lower() in _JUNK:
            return None
        found = ending(base, SCANS + SLICES + DATA)
        self._count += 1
        own = self.folder / f"{self._count:06d}{found}"
        if not (with_names and found in DETACHED + DATA and _is_plain(base)):
            return own
        kept = self.folder / base
        if kept.exists():
            raise InvalidRequest(
                f"Two files are called {shown(base)}, and a header names its data file by that name alone. Send one "
                "scan, each of its files once."
            )
        return kept


def holds_detached_header(names: Iterable[str]) -> bool:
    """Return whether one of the files is a header that names a data file."""
    return any(ending(name, DETACHED) for name in names)


def ending(name: str, known: tuple[str, ...]) -> str:
    """Return the known suffix of a file name, in lower case; empty if it has none of them.

    Example:
        >>> ending("SCAN.NII.GZ", SCANS)
        '.nii.gz'
    """
    return next((each for each in known if name.lower().endswith(each) and len(name) > len(each)), "")


def _is_plain(base: str) -> bool:
    return base.isascii() and base.isprintable() and len(base) <= _MAX_NAME_BYTES
