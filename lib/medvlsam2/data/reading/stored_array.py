"""Voxels as a file stores them, with their affine; and the errors for files that cannot be read.

This module knows nothing of Hounsfield units or labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Shaped

from medvlsam2.data.reading.causes import printable
from medvlsam2.errors import UnreadableVolume

MAX_VOXELS: Final = 2**30
"""Twice the voxels of the largest CT that was seen (512 x 512 x 2000). A larger number means a damaged header.

The memory budget usually refuses such a file earlier. This bound also holds on a machine with much memory."""

MAX_PLACE: Final = 1e9
"""Largest absolute number that an affine may hold, in any unit of length.

1e9 is one metre in nanometres, the smallest unit that headers use. Much larger numbers overflow when they are squared.
"""

_REASON_LENGTH: Final = 160


@dataclass(frozen=True, eq=False)
class StoredArray:
    """The content of an image file: its voxels and where they lie.

    Args:
        values: voxels after the file's own scaling, in the file's axis order.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        metadata: text fields of the header, e.g. Slicer's segment names.
        warnings: sentences for the user.
        scaling: factor and offset that the header gives; they are already applied to ``values``. (1, 0) means none.
    """

    values: Shaped[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scaling: tuple[float, float] = (1.0, 0.0)


def unreadable(path: Path, error: BaseException | str) -> UnreadableVolume:
    """Return an error that names the file and gives the reader's reason, without paths and without memory addresses."""
    text = str(error) or type(error).__name__
    text = re.split(r"ITK ERROR:|sitk::ERROR:", text)[-1]
    text = re.sub(r"Reason: .*", "", text, flags=re.DOTALL)
    text = re.sub(r"\w+\(0x[0-9a-f]+\):", "", text).replace(str(path), path.name).replace(f"{path.parent}/", "")
    text = " ".join(printable(text).split()).rstrip(".: ")
    if len(text) > _REASON_LENGTH:
        text = "… " + text[-_REASON_LENGTH:]
    return UnreadableVolume(
        f"'{path.name}' is damaged or truncated and cannot be read ({text}). Copy or export it again."
    )


def squeezed_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the three sizes of a volume, without trailing axes of one voxel.

    Raises:
        UnreadableVolume: if the volume is not 3-D, is empty, or has more than MAX_VOXELS voxels.
    """
    sizes = list(shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) != 3:
        raise UnreadableVolume(
            f"'{path.name}' is {len(sizes)}-D with shape {shape}; one 3-D volume is needed. "
            + ("Give the whole series." if len(sizes) < 3 else "Save one of its volumes as a file of its own.")
        )
    if not 0 < prod(sizes) <= MAX_VOXELS:
        raise UnreadableVolume(
            f"'{path.name}' has shape {shape}, that is {prod(sizes)} voxels; 1 to {MAX_VOXELS} are allowed. "
            "Its header is probably damaged; export it again."
        )
    return sizes[0], sizes[1], sizes[2]


def unread(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Shaped[np.ndarray, "i j k"]:
    """Return zeros in place of a file's voxels, for callers that need only its geometry; takes no memory."""
    return np.broadcast_to(np.zeros((), dtype=dtype), shape)


def require_numbers(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse voxels that are neither integers nor real numbers.

    Raises:
        UnreadableVolume: for colours, complex numbers and blocks of bytes.
    """
    if dtype.kind not in "buif":
        raise UnreadableVolume(
            f"'{path.name}' holds voxels of type {dtype}; integers and real numbers are allowed. "
            "Save a grey image instead."
        )


def require_one_value(path: Path, count: int) -> None:
    """Refuse voxels that hold more than one value.

    Raises:
        UnreadableVolume: for colours, vectors and segmentations with overlapping segments.
    """
    if count != 1:
        raise UnreadableVolume(
            f"'{path.name}' has {count} values per voxel (colour, or a segmentation with overlapping segments); "
            "1 is allowed. Save a grey image or a single-layer label map."
        )


def require_place(path: Path, affine: Float[np.ndarray, "4 4"]) -> None:
    """Refuse an affine that holds NaN, an infinite number or a number beyond MAX_PLACE.

    Raises:
        UnreadableVolume: if the affine holds such a number; the message gives the number.
    """
    wrong = affine[~(np.abs(affine) <= MAX_PLACE)]
    if wrong.size:
        raise UnreadableVolume(
            f"'{path.name}' has an affine with the number {wrong[0]:g}; numbers up to {MAX_PLACE:g} are allowed. "
            "Its header is damaged; export it again."
        )
