"""Exports submitted labels as a data set for other tools: nnU-Net's raw format, with MONAI's decathlon list in it.

Labels of different scans are joined by name: a vocabulary key has the same value in every file. A label that cannot be
exported correctly is left out, and every such decision is a sentence in the result.

Reference: nnU-Net v2, documentation/dataset_format.md; Medical Segmentation Decathlon's dataset.json.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from medvlsam2 import atomic_files
from medvlsam2.data import vocabulary
from medvlsam2.data.final_labels import FinalLabel, final_labels
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.labels import wholes
from medvlsam2.data.volume_files import write_volume
from medvlsam2.errors import DatasetError, MedVLSAM2Error

MAX_ID: Final = 999
_NAME: Final = re.compile(r"[A-Za-z0-9]\w*")

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    labels: dict[str, int]
    """Value of each class, by vocabulary key; "background" is 0."""
    cases: dict[str, str]
    """Case identifier of each exported image, by image id."""
    sentences: tuple[str, ...]
    """What was left out, joined or doubtful."""


def export_nnunet(
    studies: Path | str,
    output: Path | str,
    *,
    dataset_id: int = 501,
    name: str = "MedVLSAM2",
    progress: Progress | None = None,
) -> Exported:
    """Write the final labels of a studies folder as ``<output>/Dataset<NNN>_<name>``.

    Args:
        studies: a MONAI Label studies folder.
        output: nnU-Net's raw folder; made where it does not exist.
        dataset_id: 1 to 999.
        name: letters, digits and _.
        progress: called with the share of work done, 0..1.

    Raises:
        DatasetError: if there is nothing to export, the name is not allowed, or the dataset exists.
    """
    if not 1 <= dataset_id <= MAX_ID or not _NAME.fullmatch(name):
        raise DatasetError(
            f"Dataset id {dataset_id} and name '{name}' given; allowed are 1 to {MAX_ID}, and letters, digits and _."
        )
    folder = Path(output) / f"Dataset{dataset_id:03d}_{name}"
    if folder.exists():
        raise DatasetError(f"'{folder}' exists and is never overwritten. Choose another id or name, or remove it.")
    found = final_labels(studies)
    tell = progress or (lambda _: None)
    sentences: list[str] = []
    scans = _readable(found, sentences, lambda share: tell(share / 2))
    labels = _labels(scans)
    sentences += _doubts(scans, labels)
    with atomic_files.new_folder(folder) as partial:
        cases = _write(partial, scans, labels, lambda share: tell((1 + share) / 2))
        card = _dataset_json(name, labels, list(cases.values()))
        (partial / "dataset.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return Exported(folder, labels, cases, tuple(sentences))


@dataclass(frozen=True)
class _Scan:
    """One usable scan: where it is, and the class of each of its values."""

    source: FinalLabel
    keys: Mapping[int, str]


def _readable(found: Sequence[FinalLabel], sentences: list[str], tell: Progress) -> list[_Scan]:
    """Scans whose image and label can be read and fit together; voxels are read again when written."""
    scans = []
    for number, source in enumerate(found, start=1):
        try:
            volume, label = source.read()
        except MedVLSAM2Error as error:
            sentences.append(f"Left out: {error}")
        else:
            sentences += [f"Image '{source.image_id}': {warning}" for warning in volume.warnings]
            keys = {value: class_key(text) for value, text in label.names.items()}
            sentences += _joined(source.image_id, label.names, keys)
            sentences += [f"Image '{source.image_id}': {told}" for told in wholes.warnings(label.names)]
            scans.append(_Scan(source, keys))
        tell(number / len(found))
    if not scans:
        raise DatasetError(f"None of the {len(found)} final labels can be exported. {' '.join(sentences)}")
    return scans


def class_key(name: str) -> str:
    """Name of a class in the dataset: a vocabulary key, or what the annotator wrote, as an identifier.

    Example:
        >>> class_key("Left Kidney"), class_key("Hepatic cyst, the large one")
        ('kidney_left', 'hepatic_cyst_the_large_one')
    """
    known = vocabulary.lookup(name)
    key = known.key if known else re.sub(r"\W+", "_", name.strip().lower()).strip("_")
    return f"{key or 'unnamed'}_structure" if key in ("", "background", "ignore") else key


def _joined(image_id: str, names: Mapping[int, str], keys: Mapping[int, str]) -> list[str]:
    """A sentence for each class that several segments of one scan stand for."""
    return [
        f"Image '{image_id}': the segments {sorted(names[v] for v in keys if keys[v] == key)} are one structure and "
        f"were joined as '{key}'."
        for key, count in Counter(keys.values()).items()
        if count > 1
    ]


def _labels(scans: Sequence[_Scan]) -> dict[str, int]:
    """Consecutive values, in the vocabulary's order, then classes that it does not know, by name."""
    used = {key for scan in scans for key in scan.keys.values()}
    ordered = [key for key in vocabulary.STRUCTURES if key in used]
    ordered += sorted(used - set(ordered))
    return {"background": 0, **{key: value for value, key in enumerate(ordered, start=1)}}


def _doubts(scans: Sequence[_Scan], labels: Mapping[str, int]) -> list[str]:
    """What a trainer should know: unknown names, structures inside one another, and scans that lack a class."""
    classes = [key for key in labels if key != "background"]
    doubts = [
        f"'{key}' is no structure of the vocabulary: it is exported as a class of its own. Nearest names: "
        f"{', '.join(vocabulary.nearest(key.replace('_', ' ')))}."
        for key in classes
        if key not in vocabulary.STRUCTURES
    ]
    for whole, inside in wholes.pairs(classes):
        doubts.append(
            f"'{whole}' holds {', '.join(inside)}, and all are classes: voxels of the same organ have different "
            "labels in different scans. Label one of the two everywhere."
        )
    for key in classes:
        lacking = [scan.source.image_id for scan in scans if key not in scan.keys.values()]
        if lacking:
            doubts.append(
                f"'{key}' is not labelled in {len(lacking)} of {len(scans)} scans ({', '.join(lacking[:5])}"
                f"{' …' if len(lacking) > 5 else ''}): training takes it for absent there."
            )
    return doubts


def _write(folder: Path, scans: Sequence[_Scan], labels: Mapping[str, int], tell: Progress) -> dict[str, str]:
    """Write images and labels; return the case identifier of each image."""
    images, targets = folder / "imagesTr", folder / "labelsTr"
    images.mkdir(parents=True)
    targets.mkdir()
    cases: dict[str, str] = {}
    for number, scan in enumerate(scans, start=1):
        volume, label = scan.source.read()
        case = _case_identifier(scan.source.image_id, taken=cases.values())
        table = np.zeros(int(label.values.max()) + 1, dtype=np.uint16)
        for value, key in scan.keys.items():
            table[value] = labels[key]
        write_volume(images / f"{case}_0000.nii.gz", volume)
        write_label_map(targets / f"{case}.nii.gz", table[label.values], volume.affine, {})
        cases[scan.source.image_id] = case
        tell(number / len(scans))
    return cases


def _case_identifier(image_id: str, taken: Any) -> str:
    """The image id in characters that every tool accepts, once only."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", image_id).strip("._-") or "case"
    number, case = 1, plain
    while case in taken:
        number += 1
        case = f"{plain}_{number}"
    return case


def _dataset_json(name: str, labels: Mapping[str, int], cases: Sequence[str]) -> dict[str, Any]:
    """One card for both readers: nnU-Net's ``channel_names``/``labels``, and the decathlon's ``training`` list."""
    return {
        "name": name,
        "description": "CT in Hounsfield units with labels submitted through MONAI Label. Research only.",
        "tensorImageSize": "3D",
        "channel_names": {"0": "CT"},
        "modality": {"0": "CT"},
        "labels": dict(labels),
        "numTraining": len(cases),
        "numTest": 0,
        "file_ending": ".nii.gz",
        "training": [
            {"image": f"./imagesTr/{case}_0000.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases
        ],
        "test": [],
    }
