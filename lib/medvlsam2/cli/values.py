"""Values on the command line: clicks, boxes, lists, and where results may be written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Final

from medvlsam2.errors import InvalidPrompt, InvalidRequest
from medvlsam2.training.config import TrainConfig

Click = tuple[tuple[float, float, float], int]
"""Voxel index, and 1 on the object or 0 beside it."""
BoxIJK = tuple[int, int, int, int, int, int]

LIST_OPTIONS: Final = tuple(f"--{field.name}" for field in fields(TrainConfig) if isinstance(field.default, tuple))
"""Options of ``train`` that take several numbers."""
SIGNED_OPTIONS: Final = ("--point", "--box")
"""Options whose value may start with a minus."""
_POINT: Final = "i,j,k,+ or i,j,k,- (voxel indices; + on the object, - beside it), e.g. 120,88,40,+"
_BOX: Final = "i0,i1,j0,j1,k0,k1 (half-open voxel indices, each pair ascending), e.g. 90,140,60,110,30,52"
_NUMBERS: Final = re.compile(r"[-+.\deE]+(,[-+.\deE]+)*,?")


def normalise(argv: Sequence[str]) -> list[str]:
    """Write lists and values with a sign so that the parser takes them as they are meant.

    Example:
        >>> normalise(["train", "--stages", "0,1", "--point", "-1,2,3,+"])
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


def output_path(text: str, option: str, suffixes: Collection[str]) -> Path:
    """A file that can be written, checked before the long work starts.

    Raises:
        InvalidRequest: on another suffix, or if its folder is not there.
    """
    path = Path(text).expanduser()
    if not path.name.lower().endswith(tuple(suffixes)) or path.is_dir():
        raise InvalidRequest(f"{option} '{text}' cannot be written; give a file that ends in {', '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise InvalidRequest(f"{option} '{text}': there is no folder '{path.parent}'. Make it first.")
    return path


def output_folder(text: str, option: str) -> Path:
    """A folder that can be made or written into.

    Raises:
        InvalidRequest: if a file has that name.
    """
    path = Path(text).expanduser()
    if not text.strip() or path.is_file():
        raise InvalidRequest(f"{option} '{text}' is not a folder. Give the path of a folder; it is made if need be.")
    return path


def _numbers(texts: Iterable[str]) -> list[float] | None:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return None
    return values if all(map(isfinite, values)) else None
