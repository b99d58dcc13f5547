"""Values on the command line: clicks, boxes, lists, and where results may be written."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Final

from medvlsam2.errors import InvalidPrompt, InvalidRequest, MedVLSAM2Error
from medvlsam2.training.config import TrainConfig
from medvlsam2.voxel_box import BoxIJK

Click = tuple[tuple[float, float, float], int]
"""Voxel index, and 1 on the object or 0 beside it."""

LIST_OPTIONS: Final = tuple(f"--{field.name}" for field in fields(TrainConfig) if isinstance(field.default, tuple))
"""Options of ``train`` that take several numbers, with commas between them."""
SIGNED_OPTIONS: Final = ("--point", "--box")
"""Options whose value may begin with a minus sign."""
_POINT: Final = "i,j,k,+ or i,j,k,- (voxel indices; + on the object, - beside it), e.g. 120,88,40,+"
_BOX: Final = "i0,i1,j0,j1,k0,k1 (half-open voxel indices, each pair ascending), e.g. 90,140,60,110,30,52"
_NUMBERS: Final = re.compile(r"[-+.\deE]+(,[-+.\deE]+)*,?")


def join_values(argv: Sequence[str]) -> list[str]:
    """Write lists and values with a sign so that the parser takes them as they are meant.

    Example:
        >>> join_values(["train", "--stages", "0,1", "--point", "-1,2,3,+"])
        ['train', '--stages=[0,1]', '--point=-1,2,3,+']
    """
    joined: list[str] = []
    rest = iter(argv)
    for item in rest:
        name, equals, value = item.partition("=")
        if name in (*LIST_OPTIONS, *SIGNED_OPTIONS):
            value = value if equals else next(rest, "")
            is_list = name in LIST_OPTIONS and _NUMBERS.fullmatch(value)
            joined.append(f"{name}=[{value.rstrip(',')}]" if is_list else f"{name}={value}")
        else:
            joined.append(item)
    return joined


def point(text: str) -> Click:
    """A click and its label (1 on the object, 0 beside it).

    Raises:
        InvalidPrompt: if it is written in another way.

    Example:
        >>> point("120,88,40,-")
        ((120.0, 88.0, 40.0), 0)
    """
    *numbers, sign = text.split(",") if text.rstrip().endswith(("+", "-")) else (*text.split(","), "+")
    values = _numbers(numbers)
    if values is None or len(values) != 3 or sign.strip() not in ("+", "-"):
        raise InvalidPrompt(f"--point '{text}' is not a click. Write {_POINT}.")
    return (values[0], values[1], values[2]), int(sign.strip() == "+")


def box(text: str) -> BoxIJK:
    """A half-open box of voxels.

    Raises:
        InvalidPrompt: if it is written in another way.

    Example:
        >>> box("90,140,60,110,30,52")
        (90, 140, 60, 110, 30, 52)
    """
    values = _numbers(text.split(","))
    if values is None or len(values) != 6 or any(value != int(value) for value in values):
        raise InvalidPrompt(f"--box '{text}' is not a box. Write {_BOX}.")
    i0, i1, j0, j1, k0, k1 = map(int, values)
    return i0, i1, j0, j1, k0, k1


def output_path(
    text: str, option: str, suffixes: Collection[str], *, overwrite: bool = False, inputs: Iterable[Path | str] = ()
) -> Path:
    """Check, before the long work starts, that a file can be written and replaces nothing.

    Args:
        text: as given.
        option: its name, for the message.
        suffixes: one of which it must have.
        overwrite: whether a file that is there may be replaced.
        inputs: scans that are read: never replaced, and nothing is put into a folder among them.

    Raises:
        InvalidRequest: on another suffix, if its folder is not there, or if it would replace what it may not.
    """
    path = Path(text).expanduser()
    if not path.name.lower().endswith(tuple(suffixes)) or path.is_dir():
        raise InvalidRequest(f"{option} '{text}' cannot be written; give a file that ends in {', '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise InvalidRequest(f"{option} '{text}': there is no folder '{path.parent}'. Make it first.")
    _require_no_input(path, f"{option} '{text}'", inputs)
    for folder in map(Path, inputs):
        if folder.is_dir() and _is_within(path, folder):
            raise InvalidRequest(f"{option} '{text}' lies in the input folder '{folder}'. Write it elsewhere.")
    if os.path.lexists(path) and not overwrite:
        raise InvalidRequest(f"{option} '{text}' exists and is not replaced. Choose another name, or add --overwrite.")
    return path


def output_folder(
    text: str, option: str, *, names: Collection[str] = (), overwrite: bool = False, inputs: Iterable[Path | str] = ()
) -> Path:
    """Check that a folder can be made or written into without replacing anything.

    Args:
        text: as given.
        option: its name, for the message.
        names: of the files that will be written there.
        overwrite: whether such files that are there may be replaced.
        inputs: files and folders that are read; none of them is the one to write to.

    Raises:
        InvalidRequest: if a file has that name, or what is there would be replaced.
    """
    path = Path(text).expanduser()
    if not text.strip() or (os.path.lexists(path) and not path.is_dir()):
        raise InvalidRequest(f"{option} '{text}' is not a folder. Give the path of a folder; it is made if need be.")
    _require_no_input(path, f"{option} '{text}'", inputs)
    taken = sorted(name for name in names if os.path.lexists(path / name))
    if taken and not overwrite:
        raise InvalidRequest(
            f"{option} '{text}' holds {', '.join(taken)}, which {'is' if len(taken) == 1 else 'are'} not replaced. "
            "Choose another folder, or add --overwrite."
        )
    return path


def _require_no_input(path: Path, what: str, inputs: Iterable[Path | str]) -> None:
    """Refuse to write over an input of the command, also where its path is spelt in another way."""
    for given in map(Path, inputs):
        if any(_is_same(path, file) for file in _files_of(given)):
            raise InvalidRequest(f"{what} is the input '{given}' or a part of it, which is never replaced.")


def _files_of(given: Path) -> Iterator[Path]:
    """A file and those that belong to it: a header's file of voxels, the other slices of a DICOM series."""
    from medvlsam2.data.reading.dicom_mark import is_dicom_file
    from medvlsam2.data.reading.formats import data_files

    yield given
    if given.is_file():
        with suppress(MedVLSAM2Error):  # reading the scan will say what is wrong with it
            yield from data_files.named_data_files(given)
        if is_dicom_file(given):
            yield from (file for file in given.parent.iterdir() if is_dicom_file(file))


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths mean one file: also by hard or symbolic links, or spelt in another way."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, also where the two are spelt in different ways."""
    return any(parent.exists() and parent.samefile(folder) for parent in (path, *path.resolve().parents))


def _numbers(texts: Iterable[str]) -> list[float] | None:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return None
    return values if all(map(isfinite, values)) else None
