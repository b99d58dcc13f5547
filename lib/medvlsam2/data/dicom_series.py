"""One CT series out of a folder of DICOM files, on the exact lattice of its slices.

pydicom reads the headers, SimpleITK (GDCM) the pixels: it knows every compressed transfer syntax and applies
the rescale. Slices are sorted by where they lie, never by file name or instance number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped

from medvlsam2.data import slice_lattice
from medvlsam2.data.dicom_headers import SliceHeader, slice_headers
from medvlsam2.data.labels import scan_affine
from medvlsam2.data.reading import scan_kinds
from medvlsam2.data.reading.stored_array import StoredArray, squeezed_shape, unreadable
from medvlsam2.errors import UnreadableVolume

STACK_TOLERANCE: Final = 1e-3
"""Slices whose orientation (unit vectors) and pixel spacing (mm) differ by less can lie in one stack."""


def read_series(path: Path) -> StoredArray:
    """Read the largest CT series of a folder, or the series that one file belongs to.

    Files of the folder and of the folders below it count; those that are not DICOM, or hold no slices, are
    passed over. An enhanced (multi-frame) file is a series of its own.

    Args:
        path: a folder, or one DICOM file (then the slices of its series beside it are read too).

    Raises:
        UnreadableVolume: if there is no series, or its slices are damaged, missing, repeated or uneven.
    """
    stacks = _stacks(_folder_headers(path) if path.is_dir() else _sibling_headers(path))
    if not stacks:
        raise UnreadableVolume(
            f"'{path.name}' holds no DICOM slices with a position; a CT series is needed. "
            "Give the folder that holds its .dcm files."
        )
    chosen = _choose(stacks, path)
    slices, warnings = _sorted_slices(chosen)
    if len(stacks) > 1 and path.is_dir():
        warnings.append(_left_out(chosen, stacks))
    if chosen[0].modality != "CT":
        warnings.append(f"DICOM says the modality is '{chosen[0].modality[:16]}', not CT: results may be wrong.")
    first = slices[0]
    places = np.stack([header.position_lps for header in slices])
    grid = slice_lattice.lattice(places, first.orientation, first.pixel_spacing_mm)
    if grid.tilt_deg > slice_lattice.TILT_TOLERANCE_DEG:
        warnings.append(
            f"The gantry was tilted by {grid.tilt_deg:.1f} degrees: masks lie exactly on the slices, but "
            "software that takes the axes for orthogonal shows them skewed."
        )
    values = _pixels(path, slices)
    return StoredArray(values, scan_affine.of_series(grid.affine, values.shape), warnings=tuple(warnings))


def _folder_headers(folder: Path) -> list[SliceHeader]:
    found = scan_kinds.dicom_files(folder)
    if not found:
        files = [file for file in folder.rglob("*") if file.is_file()]
        raise UnreadableVolume(
            f"Folder '{folder.name}' holds {len(files)} files, none of them DICOM; a CT series is needed. "
            "Give the folder that holds its .dcm files."
        )
    return [header for file in found for header in slice_headers(file)]


def _sibling_headers(path: Path) -> list[SliceHeader]:
    """Slices of the series that a file belongs to; a damaged neighbour may be one of them: an error."""
    own = slice_headers(path)
    if not own or len(own) > 1:
        return own
    files = sorted(file for file in path.parent.iterdir() if file != path and scan_kinds.is_dicom_file(file))
    others = [header for file in files for header in slice_headers(file)]
    return own + [header for header in others if header.series_uid == own[0].series_uid]


def _stacks(headers: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Slices that can form one volume: same series, size, orientation and pixel spacing."""
    stacks: list[list[SliceHeader]] = []
    for header in headers:
        for stack in reversed(stacks):
            if _belongs(header, stack[0]):
                stack.append(header)
                break
        else:
            stacks.append([header])
    return stacks


def _belongs(header: SliceHeader, first: SliceHeader) -> bool:
    return (
        (header.series_uid, header.modality, header.rows_columns)
        == (first.series_uid, first.modality, first.rows_columns)
        and bool(np.abs(header.orientation - first.orientation).max() < STACK_TOLERANCE)
        and bool(np.abs(np.subtract(header.pixel_spacing_mm, first.pixel_spacing_mm)).max() < STACK_TOLERANCE)
    )


def _choose(stacks: Sequence[list[SliceHeader]], path: Path) -> list[SliceHeader]:
    """The stack of the given file, or the largest of a folder; CT goes before all else."""
    own = [stack for stack in stacks if any(header.path == path for header in stack)]
    return max(own or stacks, key=lambda stack: (stack[0].modality == "CT", len(stack)))


def _left_out(chosen: list[SliceHeader], stacks: Sequence[list[SliceHeader]]) -> str:
    others = [f"{stack[0].modality[:16]} of {len(stack)}" for stack in stacks if stack is not chosen]
    return (
        f"The folder holds {len(stacks)} series; the largest CT series, of {len(chosen)} slices, was read "
        f"and {len(others)} left out ({', '.join(others[:5])}{', …' if len(others) > 5 else ''}). "
        "To read another one, give one of its files."
    )


def _sorted_slices(stack: list[SliceHeader]) -> tuple[list[SliceHeader], list[str]]:
    """Slices by place, without copies of one file; two different slices at one place are refused."""
    unique = list({(header.instance_uid or str(header.path), header.frame): header for header in stack}.values())
    copies = len(stack) - len(unique)
    positions = np.stack([header.position_lps for header in unique])
    depths = slice_lattice.depths_mm(positions, unique[0].orientation)
    order = np.argsort(depths, kind="stable")
    slices = [unique[number] for number in order]
    repeats = slice_lattice.repeated(depths[order])
    if len(repeats):
        number = int(repeats[0])
        raise UnreadableVolume(
            f"'{slices[number - 1].path.name}' and '{slices[number].path.name}' lie at the same place, "
            f"{depths[order][number]:.2f} mm, as do {len(repeats) - 1} further pairs of all {len(slices)}. "
            "One slice per place is allowed. Split the phases or reconstructions into a folder each."
        )
    return slices, [f"Copies of the same slice that were left out: {copies}."] if copies else []


def _pixels(path: Path, slices: Sequence[SliceHeader]) -> Shaped[np.ndarray, "i j k"]:
    """Values of all slices after rescale, in ``_ijk`` order (column, row, slice)."""
    rows, columns = slices[0].rows_columns
    squeezed_shape(path, (columns, rows, len(slices)))
    if len({header.rescale for header in slices}) > 1:
        raise UnreadableVolume(
            f"'{slices[0].path.name}' has frames with different rescale values; one slope and intercept "
            "for all is allowed. Export it as single slices."
        )
    planes: list[np.ndarray[Any, Any]] = []
    frames: tuple[Path, np.ndarray[Any, Any]] | None = None
    for header in slices:
        if frames is None or frames[0] != header.path:
            frames = header.path, _decoded(header.path)
        if frames[1].shape[1:] != (rows, columns) or len(frames[1]) <= header.frame:
            raise UnreadableVolume(
                f"DICOM file '{header.path.name}' holds pixels of shape {frames[1].shape} "
                f"(frames, rows, columns), its header promises {rows} rows and {columns} "
                "columns. Send the series again."
            )
        planes.append(frames[1][header.frame])
    volume: np.ndarray[Any, Any] = np.stack(planes)
    return volume.T


def _decoded(path: Path) -> Shaped[np.ndarray, "frames rows columns"]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(path, error) from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UnreadableVolume(f"DICOM file '{path.name}' is a colour picture; a grey CT slice is needed.")
    pixels: np.ndarray[Any, Any] = np.asarray(sitk.GetArrayFromImage(image))
    return pixels if pixels.ndim == 3 else np.expand_dims(pixels, 0)
