"""Decides what a submitted label means: one function for the submission, the export and fine-tuning.

A label is a file of values, and the names that the client sent with it. It is accepted if every value has a certain
name and its voxels are those of the scan. Any other label is refused with one sentence, at the submission, while the
annotator is still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt16

from medvlsam2.data import vocabulary
from medvlsam2.data.label_info import EXAMPLE, names_of_values, parse_label_info, readings, shown
from medvlsam2.data.label_maps import LabelMap, read_label_map
from medvlsam2.data.labels import repeated, wholes
from medvlsam2.data.labels.placing import on_scan_grid
from medvlsam2.data.labels.scan_geometry import ScanGeometry, read_geometry
from medvlsam2.errors import DatasetError, UnreadableVolume

RAW_SUFFIX: Final = ".bin"
"""Suffix of what OHIF sends: the voxels alone, one byte each, in the order of the scan."""


@dataclass(frozen=True, eq=False)
class CheckedLabel:
    """A label that passed the check.

    Args:
        values: on exactly the scan's grid; 0 is background.
        affine: the scan's, ``_ijk`` voxel centre to ``_ras`` mm.
        names: name of every value that occurs, as the annotator wrote it.
        warnings: sentences for the annotator: names that the vocabulary does not know, one structure
            twice, a whole beside its parts.
    """

    values: UInt16[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    names: Mapping[int, str]
    warnings: tuple[str, ...]


def check_submission(label_path: Path | str, label_info: Any, scan_path: Path | str, image_id: str) -> CheckedLabel:
    """Read a submitted label, and return what it means or raise why it cannot be used.

    Args:
        label_path: NIfTI, NRRD, MetaImage, or ``.bin`` (the raw bytes that OHIF sends).
        label_info: as the client sent it; may be None or empty where the file's own header names all values.
        scan_path: a file, or a folder with a DICOM series. Its voxels are not needed.
        image_id: for messages.

    Raises:
        UnreadableVolume: if the label, or the scan, is empty, damaged, truncated or no label map.
        GeometryMismatch: if the label lies on another grid than the scan.
        DatasetError: if nothing is painted, ``label_info`` is malformed, or a value has no name for certain.
    """
    return check_label(label_path, label_info, read_geometry(scan_path, image_id))


def check_label(label_path: Path | str, label_info: Any, scan: ScanGeometry) -> CheckedLabel:
    """The same as :func:`check_submission`, for a scan whose grid is known already."""
    label = read_label_on_scan(label_path, scan)
    present = [int(value) for value in np.unique(label.values) if value]
    if not present:
        raise DatasetError(f"The label of image '{scan.image_id}' is empty. Paint something and submit it again.")
    names = _names(scan.image_id, present, label, label_info)
    warnings = (*_unknown(names), *repeated.warnings(names), *wholes.warnings(names))
    return CheckedLabel(label.values, label.affine, names, warnings)


def read_label_on_scan(label_path: Path | str, scan: ScanGeometry, what: str = "") -> LabelMap:
    """Read a label file onto exactly the grid of its scan.

    Args:
        label_path: as for :func:`check_submission`.
        scan: its scan's grid.
        what: names the label in messages; by default by the scan.

    Raises:
        UnreadableVolume: if it is damaged or no label map.
        GeometryMismatch: if it lies on another grid.
    """
    path = Path(label_path)
    what = what or f"The label of image '{scan.image_id}'"
    if path.name.lower().endswith(RAW_SUFFIX):
        return _raw(path, what, scan)
    return on_scan_grid(what, read_label_map(path), scan.shape_ijk, scan.affine)


def _raw(path: Path, what: str, scan: ScanGeometry) -> LabelMap:
    """Read voxels without a header: they are taken to be on the scan's grid if their number is that of the scan."""
    needed = int(np.prod(scan.shape_ijk))
    size = path.stat().st_size if path.is_file() else 0
    if size != needed:
        raise UnreadableVolume(
            f"{what} is a raw file of {size} bytes; one byte for each of the scan's {needed} voxels is needed. "
            "Submit it again, or as NRRD or NIfTI."
        )
    values = np.fromfile(path, dtype=np.uint8).reshape(scan.shape_ijk, order="F").astype(np.uint16)
    return LabelMap(values, scan.affine)


def _names(image_id: str, present: list[int], label: LabelMap, label_info: Any) -> dict[int, str]:
    """Name of each value: that in the file, if the file names all values and the client does not contradict.

    For a file of 3D Slicer the names in the file always count: Slicer's client numbers the segments in their order,
    while the file may use other values.
    """
    own = {value: label.names[value] for value in present if label.names.get(value, "").strip()}
    said = parse_label_info(image_id, label_info)
    if len(own) < len(present):
        return names_of_values(image_id, present, label_info)
    possible = readings(present, said) if label.offset_ijk is None else []
    if possible and not any(_same_meaning(own, reading) for reading in possible):
        raise DatasetError(
            f"The label of image '{image_id}' holds the values {shown(present)}; its file names them in one way and "
            f"its label_info in another. Submit it again with one name per value, e.g. {EXAMPLE}, in a file "
            "whose header says the same or nothing."
        )
    return own


def _same_meaning(one: Mapping[int, str], other: Mapping[int, str]) -> bool:
    return all(repeated.meaning(name) == repeated.meaning(other[value]) for value, name in one.items())


def _unknown(names: Mapping[int, str]) -> list[str]:
    return [
        f"'{name}' is no name that the model knows; it is kept as it is. Nearest names: "
        f"{', '.join(vocabulary.nearest(name))}."
        for name in sorted(set(names.values()))
        if vocabulary.lookup(name) is None
    ]
