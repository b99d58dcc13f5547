"""Conversion of a final label to a DICOM SEG, and of a SEG in the PACS to a final label."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from jaxtyping import Bool
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from label_tasks.pacs.seg_index import dataset_of
from medvlsam2.data.dicom_seg import AlgorithmType, Origin, read_seg, write_seg
from medvlsam2.data.label_maps import LabelMap, write_label_map
from medvlsam2.data.labels.scan_geometry import read_geometry
from medvlsam2.data.labels.submission import CheckedLabel, check_submission
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies import versions
from medvlsam2.data.studies.label_place import LabelFile
from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.errors import DatasetError, GeometryMismatch, MedVLSAM2Error

ORIGINAL: Final = "original"

UNUSABLE: Final = (DatasetError, GeometryMismatch)
"""Errors of :func:`label_of_seg` for a SEG that cannot be a label of its image."""

_ALGORITHM_KEYS: Final = ("algorithm", "SegmentAlgorithmType")
_BY_HAND: Final = ("points", "foreground", "background", "roi")
"""Parameters of a request with which a person points at an object."""

_UNKNOWN_VERSION: Final = "unknown"


def make_seg(
    folder: StudiesFolder, image_id: str, scan: Path, replaces: Mapping[str, str] | None
) -> tuple[FileDataset, Mapping[str, Any]]:
    """Return the SEG of an image's final label, and the information on the label that it was made of.

    Args:
        folder: the studies folder with the labels.
        image_id: id of the image.
        scan: folder of its DICOM series.
        replaces: header of the SEG that this one replaces.

    Raises:
        UnknownLabel: if there is no label.
        DatasetError: if the label cannot be named, or is empty.
        GeometryMismatch: if it does not lie on the scan.
    """
    label = folder.label(image_id, FINAL)
    info = dict(label.version.info) if label.version else {}
    with folder.incoming(label.path.name) as copy:
        shutil.copyfile(label.path, copy)
        if label.version and versions.content_of(copy).sha256 != label.version.content.sha256:
            raise DatasetError(f"The label of image '{image_id}' was replaced while its SEG was made. It is made anew.")
        checked = check_submission(copy, info.get("label_info"), scan, image_id)
    seg = write_seg(
        scan,
        LabelMap(checked.values, checked.affine, dict(checked.names)),
        origins=_origins(folder, image_id, scan, checked, info),
        tag=FINAL,
        annotator=str(info.get("user") or info.get("client_id") or ""),
        replaces=dataset_of(replaces) if replaces else None,
    )
    return seg, info


def seg_of_result(file: Path, scan: Path, image_id: str, told: Mapping[str, Any], asked: Mapping[str, Any]) -> bytes:
    """Return a result of the model as the content of a DICOM SEG file.

    Args:
        file: the result, a label map.
        scan: folder of the scan's DICOM series.
        image_id: id of the scan in error texts.
        told: what the model returned with it: names of the values, and its own name.
        asked: parameters of the request; its ``label_info`` can give other names.

    Raises:
        DatasetError: if nothing was found, or the names do not fit the values.
    """
    names = told.get("label_names") or {}
    listed = [{"name": name, "idx": value} for name, value in names.items()]
    checked = check_submission(file, asked.get("label_info") or listed, scan, image_id)
    kind = "SEMIAUTOMATIC" if any(asked.get(key) for key in _BY_HAND) else "AUTOMATIC"
    origin = _origin(kind, _text(told.get("model_id")), _text(told.get("model_version")))
    label = LabelMap(checked.values, checked.affine, dict(checked.names))
    return as_bytes(write_seg(scan, label, origins=dict.fromkeys(checked.names, origin), tag=ORIGINAL))


def as_bytes(seg: FileDataset) -> bytes:
    """Return a SEG as the content of its file."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, seg, write_like_original=False)
    return buffer.getvalue()


def label_of_seg(seg: Path, scan: Path, image_id: str, target: Path) -> list[dict[str, Any]]:
    """Write a SEG of the PACS as a label file on the grid of its scan.

    Args:
        seg: its file.
        scan: folder of the scan's DICOM series.
        image_id: for messages.
        target: the label file to write.

    Returns:
        Its ``label_info``: the name of each value.

    Raises:
        DatasetError: if its names cannot be trusted, or segments overlap.
        GeometryMismatch: if it does not lie on the scan, or its positions are in another frame of reference.
        UnreadableVolume: if it is damaged.
    """
    _require_same_frame(seg, scan, image_id)
    geometry = read_geometry(scan, image_id)
    read = read_seg(seg, geometry.shape_ijk, geometry.affine)
    if read.warnings:
        raise DatasetError(f"The SEG of image '{image_id}' is not used. {' '.join(read.warnings)}")
    found = read.label_map
    write_label_map(target, found.values, found.affine, dict(found.names))
    return [{"name": segment.name, "idx": segment.number} for segment in read.segments if segment.voxels]


def _require_same_frame(seg: Path, scan: Path, image_id: str) -> None:
    """Refuse a SEG of another frame of reference: its positions mean other places, even if they fit the scan."""
    own = _frame_of(seg)
    scans = {frame for frame in map(_frame_of, sorted(scan.rglob("*.dcm"))) if frame}
    if own and scans and own not in scans:
        raise GeometryMismatch(
            f"The SEG in the PACS that names image '{image_id}' has another frame of reference than it: its positions "
            "are of another examination. It is not used. Ask who made it, or submit a label of your own."
        )


def _frame_of(path: Path) -> str:
    try:
        header = pydicom.dcmread(path, specific_tags=["FrameOfReferenceUID"], stop_before_pixels=True)
    except (InvalidDicomError, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError):
        return ""
    return str(header.get("FrameOfReferenceUID") or "").strip()


def _origins(
    folder: StudiesFolder, image_id: str, scan: Path, checked: CheckedLabel, info: Mapping[str, Any]
) -> dict[int, Origin]:
    """Return how each segment was made, as far as it is known.

    The type that the client gives for a segment counts. Else a segment that equals the model's stored result of that
    name in every voxel is AUTOMATIC. A segment in which a model had a part, as the client says (``model``) or as a
    stored result shows, is SEMIAUTOMATIC. All others are MANUAL.
    """
    result, made_by = _stored_result(folder, image_id, scan)
    said = _said(info)
    model = (_text(info.get("model_id") or info.get("model")), _text(info.get("model_version")))
    origins = {}
    for value, name in checked.names.items():
        kind, own_model = said.get(name, ""), model
        drawn = result.get(name) if kind == "" else None
        if drawn is not None:
            mask = checked.values == value
            same = bool(np.array_equal(mask, drawn))
            kind = "AUTOMATIC" if same else "SEMIAUTOMATIC" if bool((mask & drawn).any()) else ""
            own_model = made_by if kind else model
        kind = kind or ("SEMIAUTOMATIC" if model[0] else "MANUAL")
        origins[value] = _origin(kind, *own_model)
    return origins


def _origin(kind: str, model: str, version: str) -> Origin:
    algorithm: AlgorithmType = "SEMIAUTOMATIC" if kind == "SEMIAUTOMATIC" else "AUTOMATIC"
    return Origin() if kind == "MANUAL" else Origin(algorithm, model or "unknown", version or _UNKNOWN_VERSION)


def _said(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the algorithm types that the client gives, by name of the segment."""
    said = {}
    for item in info.get("label_info") or ():
        told = next((_text(item.get(key)).upper() for key in _ALGORITHM_KEYS if item.get(key)), "")
        if told in {"MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"}:
            said[" ".join(str(item.get("name")).split())] = told
    return said


def _stored_result(
    folder: StudiesFolder, image_id: str, scan: Path
) -> tuple[dict[str, Bool[np.ndarray, "i j k"]], tuple[str, str]]:
    """Return the masks, by name, of the model's result that is stored for an image, and the name of that model."""
    try:
        label: LabelFile = folder.label(image_id, ORIGINAL)
        info = dict(label.version.info) if label.version else {}
        params = info.get("params") if isinstance(info.get("params"), dict) else {}
        names = (params or {}).get("label_names") or {}
        listed = [{"name": name, "idx": value} for name, value in names.items()] if isinstance(names, dict) else None
        checked = check_submission(label.path, info.get("label_info") or listed, scan, image_id)
    except MedVLSAM2Error:
        return {}, ("", "")
    facts = params or {}
    made_by = (_text(facts.get("model_id") or info.get("model")), _text(facts.get("model_version")))
    return {name: checked.values == value for value, name in checked.names.items()}, made_by


def _text(told: Any) -> str:
    return str(told).strip() if isinstance(told, str | int | float) else ""
