"""Folders of scans in the usual layouts, as records of a manifest.

Known are this project's own layout, nnU-Net's raw format (version 2), the Medical Segmentation Decathlon's, those of
the M3D data sets, and the studies folder of a MONAI Label server. The files of a folder show which layout it has.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.final_labels import final_labels
from medvlsam2.data.studies.index import INDEX
from medvlsam2.errors import DatasetError, MedVLSAM2Error

logger = logging.getLogger(__name__)

PARTLY_CONTOURED: Final[Mapping[str, tuple[str, ...]]] = {"4DLung_113": ("vertebra", "lymph node")}
"""Labels of the project's scans that cover one of several such structures."""
_M3D_CAP: Final = "M3D_Cap.json"


@dataclass(frozen=True)
class Layout:
    """One way in which scans lie in folders."""

    name: str
    looked_for: str
    """The files by which it is recognised, for messages."""
    is_it: Callable[[Path], bool]
    records: Callable[[Path], Iterator[ScanRecord]]


def scan_folder(folder: Path | str) -> tuple[str, list[ScanRecord]]:
    """List the scans of a folder.

    Returns:
        The layout's name, and a record for each scan, by case id.

    Raises:
        DatasetError: if the folder has none of the layouts, or holds no scan.
    """
    folder = Path(folder)
    layout = next((layout for layout in LAYOUTS if layout.is_it(folder)), None)
    if layout is None:
        known = "; ".join(f"{layout.name}: {layout.looked_for}" for layout in LAYOUTS)
        raise DatasetError(f"'{folder}' has no layout that is known. Looked for: {known}.")
    try:
        records = sorted(layout.records(folder), key=lambda record: record.case_id)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DatasetError(
            f"'{folder}' looks like {layout.name} but cannot be read ({type(error).__name__}: {error}). "
            f"Repair the files that tell the layout: {layout.looked_for}."
        ) from error
    if not records:
        raise DatasetError(f"'{folder}' looks like {layout.name} and holds no scan. Give a folder with scans.")
    return layout.name, records


def group_patients(case_ids: Sequence[str]) -> dict[str, str]:
    """Patient of each case: a case named like another one plus "_…" is another scan, or a part, of that patient.

    Example:
        >>> group_patients(["TS_abdo", "TS_abdo_sm", "TS_dicom20"])
        {'TS_abdo': 'TS_abdo', 'TS_abdo_sm': 'TS_abdo', 'TS_dicom20': 'TS_dicom20'}
    """
    known = set(case_ids)
    return {case_id: next(name for name in _beginnings(case_id) if name in known) for case_id in case_ids}


def _beginnings(case_id: str) -> Iterator[str]:
    parts = case_id.split("_")
    return ("_".join(parts[:count]) for count in range(1, len(parts) + 1))


def _project(folder: Path) -> Iterator[ScanRecord]:
    split_path = folder / "split.json"
    splits = _json(split_path) if split_path.is_file() else {}
    split_of = {case_id: split for split, case_ids in splits.items() for case_id in case_ids}
    scans = sorted(path.parent for path in folder.glob("ct/*/image.nii.gz"))
    patients = group_patients([scan.name for scan in scans])
    for scan in scans:
        meta = _json(scan / "meta.json") if (scan / "meta.json").is_file() else {}
        yield ScanRecord(
            case_id=scan.name,
            patient_id=meta.get("patient_id", patients[scan.name]),
            image=scan / "image.nii.gz",
            label=_if_there(scan / "label.nii.gz"),
            names=_names(meta.get("labels") or {}),
            partly_contoured=tuple(meta.get("partly_contoured", PARTLY_CONTOURED.get(scan.name, ()))),
            split=split_of.get(scan.name),
            licence=meta.get("licence"),
            source=meta.get("source"),
        )


def _nnunet(folder: Path) -> Iterator[ScanRecord]:
    card = _json(folder / "dataset.json")
    channels = {int(number): str(name) for number, name in card["channel_names"].items()}
    ct = next((number for number, name in channels.items() if name.upper() in ("CT", "CTNORMALIZATION")), None)
    if ct is None:
        raise DatasetError(
            f"'{folder}' has the channels {sorted(channels.values())} and none named CT: a CT is needed."
        )
    ending = f"_{ct:04d}{card['file_ending']}"
    images = [path for part in ("imagesTr", "imagesTs") for path in sorted((folder / part).glob(f"*{ending}"))]
    case_ids = [path.name.removesuffix(ending) for path in images]
    patients = group_patients(case_ids)
    for case_id, image in zip(case_ids, images, strict=True):
        label = folder / image.parent.name.replace("images", "labels") / f"{case_id}{card['file_ending']}"
        split = "train" if image.parent.name == "imagesTr" else "test"
        yield _of_card(card, image, _if_there(label), case_id=case_id, patient_id=patients[case_id], split=split)


def _decathlon(folder: Path) -> Iterator[ScanRecord]:
    card = _json(folder / "dataset.json")
    modalities = [str(name) for name in card.get("modality", {"0": "CT"}).values()]
    if modalities != ["CT"]:
        raise DatasetError(f"'{folder}' has the modalities {modalities}: scans of one channel, CT, are needed.")
    listed: list[tuple[str, Path, Path | None]] = []
    for part, split in (("training", "train"), ("validation", "val"), ("test", "test")):
        for item in card.get(part, []):
            image, label = (item, None) if isinstance(item, str) else (item["image"], item.get("label"))
            listed.append((split, folder / image, None if label is None else folder / label))
    case_ids = [_stem(image) for _, image, _ in listed]
    patients = group_patients(case_ids)
    for case_id, (split, image, label) in zip(case_ids, listed, strict=True):
        yield _of_card(card, image, label, case_id=case_id, patient_id=patients[case_id], split=split)


def _studies(folder: Path) -> Iterator[ScanRecord]:
    for found in final_labels(folder):
        try:
            _, label_map = found.read()
        except MedVLSAM2Error as error:
            logger.warning("left out: %s", error)
            continue
        yield ScanRecord(
            case_id=found.image_id,
            patient_id=found.patient_id,
            image=found.image_path,
            label=found.label_path,
            names=label_map.names,
            source="MONAI Label",
        )


def _m3d_seg(folder: Path) -> Iterator[ScanRecord]:
    """Arrays that M3D prepared. They are rescaled, so they are no longer in HU."""
    for card_path in _m3d_cards(folder):
        card, base = _json(card_path), card_path.parent
        names = _names(card.get("labels") or {})
        for split in ("train", "test"):
            for item in card.get(split, []):
                image = _m3d_path(base, item["image"])
                yield ScanRecord(
                    case_id=f"{base.name}_{image.parent.name}",
                    patient_id=f"{base.name}_{image.parent.name}",
                    image=image,
                    label=_m3d_path(base, item["label"]),
                    names=names,
                    split=split,
                    licence=card.get("licence"),
                    source=f"M3D-Seg {base.name}",
                    in_hounsfield=False,
                )


def _m3d_refseg(folder: Path) -> Iterator[ScanRecord]:
    """Scans with masks that are described by sentences."""
    for image in sorted(folder.glob("*/ct.nii.gz")):
        texts = image.with_name("text.json")
        yield ScanRecord(
            case_id=image.parent.name,
            patient_id=image.parent.name,
            image=image,
            label=_if_there(image.with_name("mask.nii.gz")),
            names=_names(_json(texts)) if texts.is_file() else {},
            source="M3D-RefSeg",
        )


def _m3d_cap(folder: Path) -> Iterator[ScanRecord]:
    """Folders of 8-bit slices with a report."""
    for split, items in _json(folder / _M3D_CAP).items():
        for item in items:
            image = folder / item["image"]
            yield ScanRecord(
                case_id="_".join(image.parts[-2:]),
                patient_id=image.parts[-2],
                image=image,
                report=folder / item["text"],
                split=re.sub(r"\d.*", "", split),
                source="M3D-Cap",
                in_hounsfield=False,
            )


def _of_card(
    card: Mapping[str, Any], image: Path, label: Path | None, *, case_id: str, patient_id: str, split: str
) -> ScanRecord:
    return ScanRecord(
        case_id=case_id,
        patient_id=patient_id,
        image=image,
        label=label,
        names=_names(card["labels"]) if label else {},
        split=split,
        licence=card.get("licence") or card.get("license"),
        source=card.get("reference") or card.get("name"),
    )


def _names(labels: Mapping[str, Any]) -> dict[int, str]:
    """Name of each value; cards have it either way round. Background and regions of several values are no names."""
    names: dict[int, str] = {}
    for key, value in labels.items():
        if isinstance(value, list):
            logger.warning("'%s' is a region of the values %s and is left out; the values keep their names", key, value)
        elif str(key).isdecimal():
            names[int(key)] = str(value)
        else:
            names[int(value)] = str(key)
    return {value: name for value, name in sorted(names.items()) if value and name.lower() not in ("ignore", "")}


def _m3d_cards(folder: Path) -> list[Path]:
    """``<code>/<code>.json`` in the folder, or of the folder itself."""
    found = [path / f"{path.name}.json" for path in (folder, *sorted(folder.iterdir())) if path.is_dir()]
    return [path for path in found if path.is_file()]


def _m3d_path(base: Path, relative: str) -> Path:
    """Lists name a file from the folder of all data sets, or from the data set's own."""
    return base.parent / relative if Path(relative).parts[0] == base.name else base / relative


def _stem(path: Path) -> str:
    return re.sub(r"(_0000)?(\.seg)?\.(nii|nii\.gz|nrrd|mha|mhd)$", "", path.name)


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _card_has(folder: Path, key: str) -> bool:
    try:
        return key in _json(folder / "dataset.json")
    except (OSError, ValueError):
        return False


LAYOUTS: Final = (
    Layout("this project's layout", "ct/<case>/image.nii.gz", lambda f: any(f.glob("ct/*/image.nii.gz")), _project),
    Layout("a MONAI Label studies folder", INDEX, lambda f: (f / INDEX).is_file(), _studies),
    Layout(
        "nnU-Net raw",
        "imagesTr and dataset.json with channel_names",
        lambda f: (f / "imagesTr").is_dir() and _card_has(f, "channel_names"),
        _nnunet,
    ),
    Layout("a decathlon task", "dataset.json with training", lambda f: _card_has(f, "training"), _decathlon),
    Layout("M3D-Cap", _M3D_CAP, lambda f: (f / _M3D_CAP).is_file(), _m3d_cap),
    Layout("M3D-Seg", "<code>/<code>.json", lambda f: f.is_dir() and bool(_m3d_cards(f)), _m3d_seg),
    Layout("M3D-RefSeg", "<case>/ct.nii.gz", lambda f: any(f.glob("*/ct.nii.gz")), _m3d_refseg),
)
"""In the order in which they are tried."""
