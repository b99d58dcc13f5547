"""Reader of one CT series from a folder of DICOM files, on the exact lattice of its slices.

Slices are sorted by position, never by file name or instance number. ``reading.dicom.pixels`` converts their pixels
to Hounsfield units.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from medvlsam2.data.placement import scan_affine
from medvlsam2.data.reading import dicom_mark
from medvlsam2.data.reading.dicom import slice_lattice
from medvlsam2.data.reading.dicom.data_set import PARSE_ERRORS, damaged, read_data_set
from medvlsam2.data.reading.dicom.headers import SliceHeader, slice_headers
from medvlsam2.data.reading.dicom.pixels import hu_of_slices
from medvlsam2.data.reading.stored_array import StoredArray, unread
from medvlsam2.errors import UnreadableVolume

STACK_TOLERANCE: Final = 1e-3
"""Slices can form one stack if their orientations (unit vectors) and pixel spacings (mm) differ by less than this.

The bound lies above the rounding of the texts in which DICOM writes these numbers."""

_HU_UNITS: Final = frozenset(("HU", "HU_MOD", "US", ""))
"""Values of RescaleType that a CT in Hounsfield units may have. US stands for unspecified."""

_ONE_SLICE: Final = "The series has 1 slice; a volume needs at least 2."


def read_series(path: Path, *, geometry_only: bool = False) -> StoredArray:
    """Read the largest CT series of a folder, or the series that one file belongs to.

    Files of the folder and of the folders below it are used. Files that are not DICOM or hold no slices are ignored.
    An enhanced (multi-frame) file is a series of its own.

    Args:
        path: a folder, or one DICOM file; the slices of its series in the same folder are then read too.
        geometry_only: read the headers alone: all voxels are 0 and take no memory.

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
    _require_several(chosen, stacks)
    slices, warnings = _sorted_slices(chosen)
    if len(stacks) > 1 and path.is_dir():
        warnings.append(_left_out(chosen, stacks))
    warnings += _unit_warnings(chosen)
    first = slices[0]
    places = np.stack([header.position_lps for header in slices])
    try:
        grid = slice_lattice.lattice(places, first.orientation, first.pixel_spacing_mm)
    except UnreadableVolume as error:
        raise UnreadableVolume(f"{error}{_odd_ones(chosen, stacks)}") from None
    if grid.tilt_deg > slice_lattice.TILT_TOLERANCE_DEG:
        warnings.append(
            f"The gantry was tilted by {grid.tilt_deg:.1f} degrees: masks lie exactly on the slices, but "
            "software that takes the axes for orthogonal shows scan and masks skewed."
        )
    if geometry_only:
        rows, columns = first.rows_columns
        values = unread((columns, rows, len(slices)), np.dtype(np.int16))
    else:
        values = hu_of_slices(path, slices)
    return StoredArray(values, scan_affine.of_series(grid.affine, values.shape), warnings=tuple(warnings))


def _folder_headers(folder: Path) -> list[SliceHeader]:
    found = dicom_mark.dicom_files(folder)
    if not found:
        files = [file for file in folder.rglob("*") if file.is_file()]
        raise UnreadableVolume(
            f"Folder '{folder.name}' holds {len(files)} files, none of them DICOM; a CT series is needed. "
            "Give the folder that holds its .dcm files."
        )
    return [header for file in found for header in slice_headers(file)]


def _sibling_headers(path: Path) -> list[SliceHeader]:
    """Return the slices of a file and of the DICOM files beside it.

    A damaged file beside it is an error, because that file may be a slice of the same series.
    """
    own = slice_headers(path)
    if not own or len(own) > 1:
        return own
    files = sorted(file for file in path.parent.iterdir() if file != path and dicom_mark.is_dicom_file(file))
    return own + [header for file in files for header in slice_headers(file)]


def _stacks(headers: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Group the slices that can form one volume: same series, modality, size, orientation and pixel spacing."""
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
    """Return the stack of the given file, or the largest stack of a folder; a CT stack goes before any other."""
    own = [stack for stack in stacks if any(header.path == path for header in stack)]
    return max(own or stacks, key=lambda stack: (stack[0].modality == "CT", len(stack)))


def _left_out(chosen: list[SliceHeader], stacks: Sequence[list[SliceHeader]]) -> str:
    others = [f"{stack[0].modality[:16]} of {len(stack)}" for stack in stacks if stack is not chosen]
    return (
        f"The folder holds {len(stacks)} series; the largest CT series, of {len(chosen)} slices, was read "
        f"and {len(others)} left out ({', '.join(others[:5])}{', …' if len(others) > 5 else ''}). "
        "To read another one, give one of its files."
    )


def _odd_ones(chosen: list[SliceHeader], stacks: Sequence[list[SliceHeader]]) -> str:
    """Return a sentence about slices of the same series in another stack: they may be the missing slices."""
    uid = chosen[0].series_uid
    odd = [header for stack in stacks if stack is not chosen for header in stack if header.series_uid == uid]
    if not odd:
        return ""
    return (
        f" Slices of the same series that have another size, orientation or pixel spacing: {len(odd)}, e.g. "
        f"'{odd[0].path.name}'."
    )


def _unit_warnings(chosen: list[SliceHeader]) -> list[str]:
    """Return a warning if the headers say that the values are not Hounsfield units.

    Raises:
        UnreadableVolume: if only some of the CT slices define how stored values become HU.
    """
    first = chosen[0]
    if first.modality != "CT":
        return [f"DICOM says the modality is '{first.modality[:16]}', not CT: results may be wrong."]
    silent = [header for header in chosen if not header.has_rescale]
    if 0 < len(silent) < len(chosen):
        raise UnreadableVolume(
            f"{len(silent)} of {len(chosen)} slices hold no rescale intercept, e.g. '{silent[0].path.name}': their "
            "Hounsfield units are not known. Send the series again."
        )
    others = sorted({header.unit for header in chosen if header.unit not in _HU_UNITS})
    if others:
        return [f"DICOM says the values are in '{others[0][:16]}' (RescaleType), not HU: results may be wrong."]
    return []


def _require_several(chosen: list[SliceHeader], stacks: Sequence[list[SliceHeader]]) -> None:
    """Refuse a single slice; say if the folder's slices have probably lost their common SeriesInstanceUID."""
    if len(chosen) > 1:
        return
    series = {header.series_uid for stack in stacks for header in stack}
    if len(series) < 2:
        raise UnreadableVolume(f"{_ONE_SLICE} Give the folder of the whole series.")
    slices = sum(len(stack) for stack in stacks)
    raise UnreadableVolume(
        f"{_ONE_SLICE} The folder holds {len(series)} series with {slices} slices in all. If they are one scan, their "
        "common SeriesInstanceUID was lost, e.g. when they were anonymised: export them again with one identifier."
    )


def _sorted_slices(stack: list[SliceHeader]) -> tuple[list[SliceHeader], list[str]]:
    """Return the slices sorted by depth, without copies, and warnings; refuse two different slices at one position."""
    positions = np.stack([header.position_lps for header in stack])
    depths = slice_lattice.depths_mm(positions, stack[0].orientation)
    kept = _without_copies(stack, depths)
    slices = [stack[number] for number in kept]
    repeats = slice_lattice.repeated(depths[kept])
    if len(repeats):
        number = int(repeats[0])
        raise UnreadableVolume(
            f"'{slices[number - 1].path.name}' and '{slices[number].path.name}' lie at the same place, "
            f"{depths[kept][number]:.2f} mm, as do {len(repeats) - 1} further pairs of all {len(slices)}. "
            "One slice per place is allowed. Split the phases or reconstructions into a folder each."
        )
    copies = len(stack) - len(kept)
    return slices, [f"Copies of the same slice that were left out: {copies}."] if copies else []


def _without_copies(stack: list[SliceHeader], depths: Float[np.ndarray, " n"]) -> list[int]:
    """Return the numbers of the slices in order of depth, with only the first of several copies."""
    reused = _reused_identifiers(stack)
    kept: list[int] = []
    for number in map(int, np.argsort(depths, kind="stable")):
        gaps_mm = depths[number] - depths[kept]
        rivals = [kept[index] for index in np.flatnonzero(gaps_mm < slice_lattice.REPEAT_TOLERANCE_MM)]
        if not any(_is_copy(stack[number], stack[rival], reused) for rival in rivals):
            kept.append(number)
    return kept


def _reused_identifiers(stack: list[SliceHeader]) -> set[str]:
    """Return the SOP Instance UIDs that slices at different positions share.

    Such a UID was overwritten, e.g. by anonymisation, and does not show that two slices are copies.
    """
    places: dict[tuple[str, int], SliceHeader] = {}
    reused = set()
    for header in stack:
        first = places.setdefault((header.instance_uid, header.frame), header)
        if np.linalg.norm(header.position_lps - first.position_lps) >= slice_lattice.REPEAT_TOLERANCE_MM:
            reused.add(header.instance_uid)
    return reused


def _is_copy(header: SliceHeader, other: SliceHeader, reused: set[str]) -> bool:
    """Return whether two slices at one position are copies: by their UID, or by their pixels if the UID is reused."""
    if (header.instance_uid, header.frame) != (other.instance_uid, other.frame):
        return False
    if header.instance_uid and header.instance_uid not in reused:
        return True
    one, second = (_pixels(slice_header.path) for slice_header in (header, other))
    return one is not None and one == second


def _pixels(path: Path) -> bytes | None:
    try:
        found: bytes | None = read_data_set(path).get("PixelData")
    except PARSE_ERRORS as error:
        raise damaged(path, str(error)) from None
    return found
