"""Which scans of a data set are used: ``medvlsam2 train`` and ``medvlsam2 evaluate`` ask here, and get the same answer.

A data set is a manifest (``*.jsonl``), or a folder in one of the layouts of :mod:`medvlsam2.data.datasets.layouts`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from medvlsam2.data.datasets.manifest import ScanRecord, read_manifest
from medvlsam2.errors import DatasetError, InvalidRequest

MANIFEST_SUFFIX: Final = ".jsonl"
TRAINING: Final = "train"
"""The split of every scan of a data set that names no splits."""


def require_data_set(data: Path) -> None:
    """Refuse a path that can be no data set, before anything is read.

    Raises:
        DatasetError: if it is neither a folder nor a manifest.
    """
    if not (data.is_dir() or (data.suffix == MANIFEST_SUFFIX and data.is_file())):
        raise DatasetError(
            f"'{data}' is neither a folder nor a manifest (*{MANIFEST_SUFFIX}). Give a folder of scans in a layout "
            "that 'medvlsam2 manifest' knows, or the manifest that it writes."
        )


def listed_scans(data: Path) -> list[ScanRecord]:
    """Every scan of a data set.

    Raises:
        DatasetError: if the path is no data set, its layout is not known, or it cannot be read.
    """
    require_data_set(data)
    from medvlsam2.data.datasets.layouts import scan_folder  # here, so that a wrong path is refused without NumPy

    return scan_folder(data)[1] if data.is_dir() else read_manifest(data)


def labelled_scans(data: Path, split: str = TRAINING, *, with_pseudo_labels: bool = False) -> list[ScanRecord]:
    """Scans of one split that have labels and are in Hounsfield units.

    Args:
        data: a manifest or a folder.
        split: which split. All scans of a data set that names no splits are training scans.
        with_pseudo_labels: whether labels that a threshold made are labels too: for evaluation, never for training.

    Raises:
        DatasetError: if the data set has no such scan, or is none.
    """
    records = listed_scans(data)
    if not any(record.split for record in records):
        in_split = records if split == TRAINING else []
    else:
        in_split = [record for record in records if record.split == split]
    usable = [
        record
        for record in in_split
        if record.in_hounsfield
        and (record.label is not None or (with_pseudo_labels and pseudo_label(record) is not None))
    ]
    if not usable:
        splits = sorted({record.split or "none" for record in records})
        raise DatasetError(
            f"'{data}' has {len(records)} scans, none of them with labels, in HU and of split '{split}'; its splits "
            f"are {', '.join(splits)}. Label some scans, correct the splits, or choose another split; scans of a data "
            f"set without splits are of split '{TRAINING}'."
        )
    return usable


def of_sources(records: Sequence[ScanRecord], sources: Sequence[str], limit: int | None) -> list[ScanRecord]:
    """Scans of the wanted sources (all, where none is named), up to a number of each source.

    Raises:
        InvalidRequest: if a wanted source has no scan.
    """
    by_source: dict[str, list[ScanRecord]] = {}
    for record in records:
        by_source.setdefault(source(record), []).append(record)
    for name in sources:
        if name not in by_source:
            raise InvalidRequest(f"There are no scans of '{name}'. Choose from {', '.join(by_source)}.")
    return [record for name in sources or by_source for record in by_source[name][:limit]]


def source(record: ScanRecord) -> str:
    """Where a scan comes from: the part of its case id before the first "_". Scans of one source are averaged.

    Example:
        >>> source(ScanRecord(case_id="OKBP_201", patient_id="1", image=Path("image.nii.gz")))
        'OKBP'
    """
    return record.case_id.split("_")[0]


def pseudo_label(record: ScanRecord) -> tuple[Path, dict[int, str]] | None:
    """The label map of a scan that a threshold made, and the names of its values; None where there is none."""
    label, card = record.image.with_name("auto_lungs.nii.gz"), record.image.with_name("meta.json")
    if not (label.is_file() and card.is_file()):
        return None
    names = json.loads(card.read_text(encoding="utf-8"))["auto_labels"]
    return label, {int(value): name for value, name in names.items()}
