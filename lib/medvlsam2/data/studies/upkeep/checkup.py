"""The report of ``medvlsam2 doctor`` on a studies folder; nothing in the folder is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.studies import refused
from medvlsam2.data.studies.index import INDEX, LABELS, DamagedIndex, read_index
from medvlsam2.data.studies.label_place import LabelPlace
from medvlsam2.data.studies.label_shelf import LabelShelf
from medvlsam2.data.studies.local_scans import list_scans
from medvlsam2.data.studies.versions import VERSIONS
from medvlsam2.data.studies.writable import require_writable
from medvlsam2.errors import DatasetError, InvalidConfig, MedVLSAM2Error


@dataclass(frozen=True)
class FolderFacts:
    """What a studies folder holds."""

    scans: int
    labels: int
    versions: int
    kept_bytes: int
    """Size of all files of earlier versions. Only old results of the model are ever deleted."""
    refused: int
    faults: tuple[str, ...]
    """Sentences: what a person should mend."""
    left_out: tuple[str, ...]
    """Sentences: files that are no scan, and why."""


def inspect(studies: Path) -> FolderFacts:
    """Inspect a studies folder as a server would read it.

    Raises:
        DatasetError: if it is no folder.
    """
    if not studies.is_dir():
        raise DatasetError(f"'{studies}' is no folder. Give the folder of a server's scans.")
    found = list_scans(studies)
    shelf = LabelShelf(studies / LABELS)
    places = [shelf.place(image_id, tag) for tag in shelf.tags() for image_id in shelf.files(tag)]
    faults = [*_writing(studies), *_index(studies, bool(places))]
    for place in places:
        faults += _label(place, known=place.image_id in found.scans)
    kept = studies / refused.REFUSED
    return FolderFacts(
        scans=len(found.scans),
        labels=len(places),
        versions=sum(len(place.versions()) for place in places),
        kept_bytes=sum(path.stat().st_size for path in _kept(shelf)),
        refused=len(list(kept.glob("*.told.json"))) if kept.is_dir() else 0,
        faults=tuple(faults),
        left_out=tuple(f"'{name}' {reason}" for name, reason in found.left_out.items()),
    )


def _kept(shelf: LabelShelf) -> list[Path]:
    folders = [shelf.folder / tag / VERSIONS for tag in shelf.tags()]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def _writing(studies: Path) -> list[str]:
    try:
        require_writable(studies)
    except InvalidConfig as error:
        return [str(error)]
    return []


def _index(studies: Path, has_labels: bool) -> list[str]:
    try:
        read_index(studies / INDEX)
    except FileNotFoundError:
        return [f"The index '{INDEX}' is missing: a server rebuilds it from the files."] if has_labels else []
    except DamagedIndex as error:
        return [f"The index '{INDEX}' is damaged ({error}): a server rebuilds it from the files."]
    return []


def _label(place: LabelPlace, *, known: bool) -> list[str]:
    what = f"The label of image '{place.image_id}' under tag '{place.tag_folder.name}'"
    faults = [] if known else [f"{what} belongs to no scan in the folder."]
    label = place.require()
    if len(place.files()) > 1:
        faults.append(f"{what} has {len(place.files())} files: a server keeps the newest and sets the others aside.")
    if label.version is None and place.versions_folder.is_dir():
        faults.append(f"{what} was changed outside of the server: its names are not known. Restore or submit it again.")
    try:
        if not label.ext.lower().endswith(".json"):
            read_label_map(label.path)
    except MedVLSAM2Error as error:
        faults.append(f"{what} cannot be used: {error}")
    return faults
