"""Reader and writer of label maps: a value for each voxel, and the names of the values if the format has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Integer, Shaped, UInt16

from medvlsam2 import atomic_files, geometry
from medvlsam2.data.colours import colors_of
from medvlsam2.data.label_info import MAX_VALUE, whole_number
from medvlsam2.data.placement import scan_affine
from medvlsam2.data.placement.nifti_place import write_nifti
from medvlsam2.data.reading.formats import file_formats
from medvlsam2.data.reading.names import NIFTI_SUFFIXES
from medvlsam2.errors import DatasetError, UnreadableVolume

MAX_LABEL: Final = MAX_VALUE
WRITABLE_SUFFIXES: Final = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")
NEARLY_WHOLE: Final = 0.02
"""Largest distance of a value from a whole number. Labels up to 10 that were scaled to 8 bits and saved again as floats
are off by at most 10 / 255 / 2 = 0.02. A probability map has values farther from whole numbers and is refused."""
MAX_SCALING_ERROR: Final = 0.45
"""Largest error of a label that a file's scale factor may cause. It lies below one half, so that rounding gives the
right label."""
_MAX_DIGITS: Final = 5
_SEGMENT_NAME: Final = re.compile(r"Segment(\d+)_Name")


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label map of one scan.

    Args:
        values: 0 is background, n is the structure ``names[n]`` if n has a name.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        names: names by value, from a NRRD header; empty for formats without names.
        is_segmentation: whether the file is a segmentation of 3D Slicer, which may be cropped to the painted part.
        offset_ijk: voxel of the scan at which a cropped segmentation of Slicer starts; None for other programs.
    """

    values: UInt16[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    names: Mapping[int, str] = field(default_factory=dict)
    is_segmentation: bool = False
    offset_ijk: tuple[int, int, int] | None = None


def read_label_map(path: Path | str) -> LabelMap:
    """Read a label map from NIfTI, NRRD (also Slicer's ``.seg.nrrd``) or MetaImage.

    Raises:
        UnreadableVolume: if the file is absent, damaged or not 3-D, or if a voxel is not a whole number from
            0 to MAX_LABEL.
    """
    path = Path(path)
    stored = file_formats.read_array(path)
    values = _whole_numbers(path, stored.values, _scaling_error(stored.scaling[0]))
    metadata = stored.metadata
    return LabelMap(
        values,
        stored.affine,
        _segment_names(metadata),
        is_segmentation=any(_SEGMENT_NAME.fullmatch(key) for key in metadata),
        offset_ijk=_offset(metadata.get("Segmentation_ReferenceImageExtentOffset", "")),
    )


def _whole_numbers(
    path: Path, stored: Shaped[np.ndarray, "i j k"], scaling_error: float
) -> UInt16[np.ndarray, "i j k"]:
    """Return the label values as integers; values that are nearly whole numbers are rounded.

    Raises:
        UnreadableVolume: for fractions, NaN, or values outside 0 to MAX_LABEL.
    """
    is_float = stored.dtype.kind == "f"
    rounded = np.rint(stored) if is_float else stored
    low, high = stored.min(), stored.max()
    is_whole = not is_float
    if is_float and np.isfinite(low + high):
        is_whole = bool(np.abs(stored - rounded).max() <= max(NEARLY_WHOLE, scaling_error))
    if not (is_whole and rounded.min() >= 0 and rounded.max() <= MAX_LABEL):
        raise UnreadableVolume(
            f"'{path.name}' holds values from {low:g} to {high:g}{'' if is_whole else ' with fractions'}; "
            f"a label map has whole numbers from 0 to {MAX_LABEL}. Give the label map, not an image or a probability."
        )
    return rounded.astype(np.uint16)


def _scaling_error(slope: float) -> float:
    """Return the largest error that a NIfTI's scale factor causes in a whole number: half a step of the factor.

    nibabel writes float arrays as integers with such a factor. The 2 % on top allow for the rounding of the floats.
    """
    return min(abs(slope) / 2 * (1 + NEARLY_WHOLE), MAX_SCALING_ERROR) if slope != 1.0 else 0.0


def _offset(text: str) -> tuple[int, int, int] | None:
    numbers = text.split()
    if len(numbers) != 3 or not all(re.fullmatch(r"-?\d{1,9}", number) for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def write_label_map(
    path: Path | str,
    values: Integer[np.ndarray, "i j k"],
    affine: Float[np.ndarray, "4 4"],
    names: Mapping[int, str],
    *,
    compress: bool = True,
) -> None:
    """Write a label map on exactly the given grid, as uint8 if every value fits, else as uint16.

    The file is written atomically. A NRRD header names the segments as 3D Slicer does; NIfTI has no field for names.

    Args:
        path: path that ends in ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.seg.nrrd``.
        values: label values; 0 is background.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        names: name of each value.
        compress: for NRRD, gzip (True) or raw voxels (False; OHIF reads raw only). For NIfTI the suffix decides.

    Raises:
        DatasetError: if the path has another suffix, or a value lies outside 0 to MAX_LABEL.
    """
    path = Path(path)
    suffix = next((s for s in WRITABLE_SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise DatasetError(
            f"'{path.name}' cannot be written; a label map ends in {', '.join(WRITABLE_SUFFIXES)}. Give such a name."
        )
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > MAX_LABEL:
        raise DatasetError(f"Label values from {low} to {high} cannot be written; 0 to {MAX_LABEL} are allowed.")
    packed = values.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
    # Not flushed: most label maps answer one request. Who stores one for good flushes it (``data/studies``).
    with atomic_files.replacing(path, flush=False) as partial:
        if suffix in NIFTI_SUFFIXES:
            write_nifti(partial, packed, scan_affine.place_header(affine, packed.shape))
        else:
            _write_nrrd(partial, packed, affine, names, compress=compress)


def _write_nrrd(
    path: Path,
    values: Integer[np.ndarray, "i j k"],
    affine: Float[np.ndarray, "4 4"],
    names: Mapping[int, str],
    *,
    compress: bool,
) -> None:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    affine = scan_affine.itk_placement(affine, values.shape)
    affine_lps = geometry.ras_to_lps_affine(affine)
    spacing = geometry.spacing_mm(affine)
    image.SetSpacing(spacing)
    image.SetDirection((affine_lps[:3, :3] / np.array(spacing)).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    extent = " ".join(f"0 {size - 1}" for size in values.shape)
    shown = sorted(names.items())
    for number, ((value, name), rgb) in enumerate(zip(shown, colors_of([name for _, name in shown]), strict=True)):
        fields = {"ID": f"Segment_{value}", "Name": " ".join(name.split()), "LabelValue": str(value)}
        color = {"Color": " ".join(f"{channel / 255:.6f}" for channel in rgb), "ColorAutoGenerated": "0"}
        for key, text in {**fields, **color, "Layer": "0", "Extent": extent}.items():
            image.SetMetaData(f"Segment{number}_{key}", text)
    sitk.WriteImage(image, str(path), useCompression=compress)


def _segment_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Return Slicer's segment names by label value.

    A segment without a label value gets its place in the header, from 1, as in Slicer. A value that two segments claim
    gets no name.
    """
    names: dict[int, set[str]] = {}
    for key, name in metadata.items():
        match = _SEGMENT_NAME.fullmatch(key)
        if match:
            place = str(int(match[1][:_MAX_DIGITS]) + 1)
            value = whole_number(metadata.get(f"Segment{match[1]}_LabelValue", place))
            if value is not None and name.strip():
                names.setdefault(value, set()).add(name.strip())
    return {value: found.pop() for value, found in sorted(names.items()) if len(found) == 1}
