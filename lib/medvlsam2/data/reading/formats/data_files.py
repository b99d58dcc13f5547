"""The data files that an NRRD or MetaImage header names. They must lie in the header's folder or below it.

A header may come from an untrusted source. A name that leads out of the folder would make the server read any file
of its machine as voxels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from medvlsam2.data.reading import names
from medvlsam2.data.reading.causes import printable
from medvlsam2.data.reading.formats.header_text import HeaderText, is_list, read_meta_header, read_nrrd_header
from medvlsam2.errors import UnreadableVolume

MAX_PARTS: Final = 10_000
"""Most data files of one header; there is one file per slice at most."""

MAX_NAME_BYTES: Final = 255
"""Longest file name in bytes that common file systems allow."""

_PATTERN: Final = re.compile(r"(?P<name>[^%]*%0?\d?d[^%]*?)\s+(?P<numbers>-?\d+(?:\s+-?\d+){1,3})")
"""A pattern such as ``slice%03d.raw 1 20 1``: a name with one place for a number, then the first and the last number,
and optionally the step and the number of dimensions of each file."""


def named_data_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold a scan's voxels, in order: the file itself, or the files that its header names.

    Raises:
        UnreadableVolume: if the header is damaged, or names a file outside its own folder.
    """
    suffix = names.known_suffix(path)
    if suffix in names.META_SUFFIXES:
        return meta_parts(path, read_meta_header(path))
    if suffix in names.NRRD_SUFFIXES:
        return nrrd_parts(path, read_nrrd_header(path))
    return (path,)


def nrrd_parts(path: Path, header: HeaderText) -> tuple[Path, ...]:
    """Return the data files of a NRRD header; the header's own file if the header names none.

    Raises:
        UnreadableVolume: if a data file would lie outside the header's folder.
    """
    return _parts(path, header.fields.get("datafile", ""), header.listed)


def meta_parts(path: Path, header: HeaderText) -> tuple[Path, ...]:
    """Return the data files of a MetaImage header; the header's own file if ElementDataFile is LOCAL.

    Raises:
        UnreadableVolume: if a data file would lie outside the header's folder.
    """
    named = header.fields["elementdatafile"]
    return _parts(path, "" if named.upper() == "LOCAL" else named or "?", header.listed)


def require_even_parts(path: Path, named: str, parts: Sequence[Path], sizes: Sequence[int]) -> None:
    """Refuse data files whose number does not fit the header's sizes: voxels would move to other slices.

    Each file holds all axes but the last, or as many axes as ``named`` says. If each file holds all axes, the files
    have equal shares of the last axis.

    Args:
        path: path of the header, for messages.
        named: value of the header's data file field: a name, ``LIST``, ``LIST 2D`` or a pattern with numbers.
        parts: the files that ``named`` stands for.
        sizes: voxels along each axis.

    Raises:
        UnreadableVolume: if the number of files does not fit; the message gives both numbers.
    """
    if len(parts) == 1:
        return
    axes = _axes_of_part(named, len(sizes))
    needed = prod(sizes[axes:]) if axes < len(sizes) else sizes[-1]
    if len(parts) != needed and (axes < len(sizes) or needed % len(parts)):
        raise UnreadableVolume(
            f"'{path.name}' names {len(parts)} data files for {' x '.join(map(str, sizes))} voxels; {needed} are "
            "needed, one per slice. Copy the whole series, or save it as one file."
        )


def _axes_of_part(named: str, dimension: int) -> int:
    """Return the number of axes that each data file holds."""
    pattern = _PATTERN.fullmatch(named)
    numbers = pattern["numbers"].split()[3:] if pattern else re.findall(r"\d+", named)
    return min(int(numbers[0]), dimension) if numbers else dimension - 1


def absent_part(parts: Iterable[Path]) -> str:
    """Return the message for a header whose data file does not exist; empty if all data files exist.

    Example:
        >>> absent_part([Path("no/such/scan.raw")])
        "is a header alone: its data file 'scan.raw' is not there. Copy it beside the header."
    """
    # os.path.isfile, because Path.is_file raises an error for some names, e.g. one that is too long.
    absent = next((part.name for part in parts if not os.path.isfile(part)), "")
    return f"is a header alone: its data file '{absent}' is not there. Copy it beside the header." if absent else ""


def _parts(path: Path, named: str, listed: tuple[str, ...]) -> tuple[Path, ...]:
    if not named:
        return (path,)
    if is_list(named):
        files = list(listed)
    else:
        pattern = _PATTERN.fullmatch(named)
        files = _numbered(path, pattern) if pattern else [named]
    if not 0 < len(files) <= MAX_PARTS:
        raise UnreadableVolume(
            f"'{path.name}' names {len(files)} data files; 1 to {MAX_PARTS} are allowed. Save the scan as one file."
        )
    return tuple(_beside(path, file) for file in files)


def _numbered(path: Path, pattern: re.Match[str]) -> list[str]:
    first, last, step = (*(int(number) for number in pattern["numbers"].split()[:3]), 1)[:3]
    if step == 0 or (last - first) // step + 1 > MAX_PARTS:
        raise UnreadableVolume(
            f"'{path.name}' names data files with numbers from {first} to {last} in steps of {step}; a step other than "
            f"0 and at most {MAX_PARTS} files are allowed. Save the scan as one file."
        )
    return [pattern["name"] % number for number in range(first, last + (1 if step > 0 else -1), step)]


def _beside(path: Path, name: str) -> Path:
    """Return the path of a data file in the header's folder or below it, and refuse a name that leads elsewhere."""
    plain, windows = PurePosixPath(name), PureWindowsPath(name)
    leaves = plain.is_absolute() or windows.drive or windows.root or ".." in (*plain.parts, *windows.parts)
    is_name = name.isprintable() and name.strip(". ") and max(map(len, map(os.fsencode, plain.parts))) <= MAX_NAME_BYTES
    if leaves or not is_name:
        raise UnreadableVolume(
            f"'{path.name}' names the data file '{printable(name[:80])}'; only a file beside the header is allowed. "
            "Put the data file beside it and write its name alone into the header."
        )
    return path.parent / name
