"""The definition of a scan. The readers, the listing of a studies folder and uploads all use this module.

Interfaces:
    ``judge(path)`` returns the kind of scan that a file or folder is, or the reason why it is no scan.
    ``list_scans(folder)`` lists a studies folder: image ids with their paths, and the other entries with the reason.
    ``only_scan(folder)`` returns the one scan among the unpacked files of an upload, for ``read_volume``.

A scan is a NIfTI file, an NRRD or MetaImage file with the data files that its header names, one DICOM file, or a
folder with DICOM slices in it or below it. DICOM is recognised by content. The other formats are recognised by their
suffix, in capital or small letters (``.NII.GZ``). Hidden files (``._IM001.dcm``, ``.DS_Store``) and ``__MACOSX``
belong to no scan and are not listed. A data file that a header names is a part of that scan. This module reads only
names, first bytes and headers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from medvlsam2.data.reading import causes, names
from medvlsam2.data.reading.dicom.headers import SliceHeader, slice_headers
from medvlsam2.data.reading.dicom_mark import files_below, is_dicom_file, looks_like_dicom, walk
from medvlsam2.data.reading.formats.data_files import absent_part, named_data_files
from medvlsam2.errors import UnreadableVolume

MAX_CHECKED_FILES: Final = 10_000
"""Number of files of a folder that are examined for DICOM slices. A series has its own folder; a folder with more
files without slices is an archive."""
_SEGMENTATION_SUFFIX: Final = ".seg.nrrd"
_MAX_NAMED: Final = 3


class ScanKind(StrEnum):
    """The formats of a scan."""

    NIFTI = "nifti"
    NRRD = "nrrd"
    METAIMAGE = "metaimage"
    DICOM = "dicom"


@dataclass(frozen=True)
class Verdict:
    """The answer to the question whether a path is a scan.

    Args:
        kind: format of the scan; None if the path is no scan.
        reason: why the path is no scan, as the end of a sentence that starts with its name; empty for a scan.
    """

    kind: ScanKind | None
    reason: str = ""


@dataclass(frozen=True)
class ListedScan:
    """One image of a studies folder.

    Args:
        image_id: name of the file or folder without its suffix.
        path: what ``read_volume`` is given: a file, or a folder with DICOM slices.
        kind: format of the scan.
        files: names of the entries of the studies folder that form the image, e.g. a header and its data file.
    """

    image_id: str
    path: Path
    kind: ScanKind
    files: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """An entry of a studies folder that is no image, and the reason: ``f"'{name}' {reason}"`` is a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The images of a studies folder and its other entries, each sorted by name."""

    scans: tuple[ListedScan, ...]
    left_out: tuple[LeftOut, ...]


def judge(path: Path) -> Verdict:
    """Return the kind of scan that a file or folder is, or the reason why it is no scan.

    The data files that a header names must exist. Voxels are not read.
    """
    if names.is_hidden(path):
        return Verdict(None, "is hidden.")
    if path.is_dir():
        return _judge_slices(path.name, _dicom_below(path))
    if not path.is_file():
        return Verdict(None, "is not there.")
    try:
        start = causes.first_bytes(path)
    except OSError as error:
        return Verdict(None, f"cannot be opened ({error.strerror}).")
    suffix = names.known_suffix(path)
    if suffix == _SEGMENTATION_SUFFIX:
        return Verdict(None, "is a segmentation (.seg.nrrd), not a scan.")
    kind = _kind_by_name(suffix)
    if kind is None and looks_like_dicom(path):
        return _judge_slices(path.name, iter([path]))
    foreign = causes.foreign_content(start) or (causes.misnamed(start, suffix) if kind else "")
    if foreign:
        return Verdict(None, foreign)
    return _judge_image_file(path, kind)


def list_scans(folder: Path, *, ignored: Collection[str] = (), registered: Mapping[str, str] | None = None) -> Listing:
    """List the images of a studies folder.

    DICOM files that lie in the studies folder itself are grouped by series: each series is one image, named after its
    first file. If two entries have the same image id, the registered entry keeps the id. Without a registered entry
    the first entry by name gets the id.

    Args:
        folder: a folder with image files, and with a folder for each DICOM series or study.
        ignored: names of entries that are no studies, e.g. the folder of labels.
        registered: image ids, each with the name of the entry that had the id so far.
    """
    entries = sorted(entry for entry in folder.iterdir() if entry.name not in ignored and not names.is_hidden(entry))
    loose = [entry for entry in entries if entry.is_file() and _kind_by_name(names.known_suffix(entry)) is None]
    loose = [entry for entry in loose if looks_like_dicom(entry)]
    scans, left_out = _loose_series(folder, loose)
    parts: set[str] = set()
    judged = [(entry, judge(entry)) for entry in entries if entry not in set(loose)]
    for entry, verdict in judged:
        if verdict.kind in (ScanKind.NRRD, ScanKind.METAIMAGE):
            parts.update(file.name for file in named_data_files(entry) if file != entry)
    for entry, verdict in judged:
        if verdict.kind is not None:
            files = [entry.name]
            if entry.is_file():
                files += [file.name for file in named_data_files(entry) if file != entry]
            scans.append(ListedScan(names.default_image_id(entry), entry, verdict.kind, tuple(files)))
        elif entry.name not in parts:
            left_out.append(LeftOut(entry.name, verdict.reason))
    return _one_per_id(scans, left_out, registered or {})


def only_scan(folder: Path) -> Path:
    """Return the path of the one scan in or below a folder, for ``read_volume``.

    All DICOM slices together count as one scan; the reader chooses the series.

    Raises:
        UnreadableVolume: if there is no scan or more than one scan; the message names the files that were found.
    """
    found: list[Path] = []
    others: list[str] = []
    holds_slices = holds_dicom = False
    for path in files_below(folder):
        if is_dicom_file(path):
            holds_dicom = True
            holds_slices = holds_slices or _has_slices(path)
            continue
        verdict = judge(path)
        if verdict.kind is not None:
            found.append(path)
        else:
            others.append(f"'{path.name}' {verdict.reason}")
    if holds_dicom and not found:
        return folder
    if len(found) == 1 and not holds_slices:
        return found[0]
    if found:
        known = [f"'{path.name}'" for path in found] + (["DICOM slices"] if holds_slices else [])
        raise UnreadableVolume(
            f"'{folder.name}' holds {len(known)} scans ({_few(known)}); one is allowed. Give one of them alone."
        )
    raise UnreadableVolume(
        f"Folder '{folder.name}' holds {len(others)} files, none of them DICOM or another scan"
        + (f": {_few(others)}" if others else ".")
        + " A CT series in DICOM, or one NIfTI, NRRD or MetaImage file is needed."
    )


def _judge_image_file(path: Path, kind: ScanKind | None) -> Verdict:
    """Return the verdict on a file that is not DICOM and whose content is not known to be something else."""
    if kind is None:
        return Verdict(None, _what_else(path))
    try:
        absent = absent_part(named_data_files(path))
    except UnreadableVolume as error:
        return Verdict(None, f"is left out: {error}")
    if absent:
        return Verdict(None, absent)
    return Verdict(kind)


def _kind_by_name(suffix: str) -> ScanKind | None:
    if suffix in names.NIFTI_SUFFIXES:
        return ScanKind.NIFTI
    if suffix in names.NRRD_SUFFIXES:
        return ScanKind.NRRD
    return ScanKind.METAIMAGE if suffix in names.META_SUFFIXES else None


def _dicom_below(folder: Path) -> Iterator[Path]:
    for number, path in enumerate(walk(folder)):
        if number >= MAX_CHECKED_FILES:
            return
        if is_dicom_file(path):
            yield path


def _judge_slices(name: str, files: Iterator[Path]) -> Verdict:
    """Return the verdict on DICOM files: a scan has at least two slices.

    A damaged file counts as a scan: the reader then reports the file by name.
    """
    slices, looked_at = 0, 0
    for file in files:
        looked_at += 1
        try:
            slices += len(slice_headers(file))
        except UnreadableVolume:
            return Verdict(ScanKind.DICOM)
        if slices > 1:
            return Verdict(ScanKind.DICOM)
    if slices:
        return Verdict(None, "holds a single DICOM slice; a volume needs at least 2.")
    if looked_at:
        return Verdict(None, "is DICOM without slices: a segmentation, a report, a plan or a directory.")
    return Verdict(None, f"holds no DICOM slices. Put other scans into the studies folder itself, not into '{name}'.")


def _what_else(path: Path) -> str:
    """Return why a file is no scan, if its suffix names no image format, or DICOM although the content is not DICOM."""
    if names.known_suffix(path) in names.DICOM_SUFFIXES:
        return "is no DICOM file though its name says so."
    if causes.first_bytes(path).startswith(causes.GZIP_MARK):
        return "is compressed with gzip. Unpack it first."
    return "is of no image format that is known."


def _has_slices(file: Path) -> bool:
    """Return whether a DICOM file holds slices. A damaged file counts, so that the reader reports it by name."""
    try:
        return bool(slice_headers(file))
    except UnreadableVolume:
        return True


def _loose_series(folder: Path, files: list[Path]) -> tuple[list[ListedScan], list[LeftOut]]:
    """Group the DICOM files that lie in the studies folder itself by series."""
    series: dict[str, list[SliceHeader]] = {}
    left_out: list[LeftOut] = []
    for file in files:
        try:
            headers = slice_headers(file)
        except UnreadableVolume as error:
            left_out.append(LeftOut(file.name, f"is left out: {error}"))
            continue
        if not headers:
            left_out.append(LeftOut(file.name, _judge_slices(file.name, iter([file])).reason))
        for header in headers:
            series.setdefault(header.series_uid, []).append(header)
    scans = []
    for headers in series.values():
        members = tuple(dict.fromkeys(header.path.name for header in headers))
        if len(headers) < 2:
            left_out.append(LeftOut(members[0], "holds a single DICOM slice; a volume needs at least 2."))
            continue
        first = folder / members[0]
        scans.append(ListedScan(names.default_image_id(first), first, ScanKind.DICOM, members))
    return scans, left_out


def _one_per_id(scans: list[ListedScan], left_out: list[LeftOut], registered: Mapping[str, str]) -> Listing:
    """Give each image id to one entry. Labels are found by image id, so an id must stay with its scan."""
    chosen: dict[str, ListedScan] = {}
    for scan in sorted(scans, key=lambda scan: (registered.get(scan.image_id) != scan.path.name, scan.path.name)):
        owner = chosen.setdefault(scan.image_id, scan)
        if owner is not scan:
            reason = f"has the same image id '{scan.image_id}' as '{owner.path.name}'. Rename one of them."
            left_out.append(LeftOut(scan.path.name, reason))
    return Listing(
        tuple(sorted(chosen.values(), key=lambda scan: scan.image_id)),
        tuple(sorted(left_out, key=lambda entry: entry.name)),
    )


def _few(items: list[str]) -> str:
    return ", ".join(items[:_MAX_NAMED]) + (", …" if len(items) > _MAX_NAMED else "")
