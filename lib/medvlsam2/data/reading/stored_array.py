"""What a file holds before it means anything: voxels as stored, their place in space, and why they cannot be read."""

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
"""Twice the largest CT that was met (512 x 512 x 2000); a larger number is a damaged header.

The memory budget usually refuses earlier; this bound also holds on a machine with much memory."""

MAX_PLACE: Final = 1e9
"""Largest number of an affine in any unit: a metre in nanometres. Larger ones overflow where they are squared."""

_REASON_LENGTH: Final = 160


@dataclass(frozen=True, eq=False)
class StoredArray:
    """What a file holds: voxels as stored, and where they lie.

    Args:
        values: voxels after the file's own scaling, in the file's axis order.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        metadata: the header's own text fields, e.g. Slicer's segment names.
        warnings: sentences for the user.
        scaling: factor and offset that the file's header gives, and that ``values`` have; (1, 0) without any.
    """

    values: Shaped[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scaling: tuple[float, float] = (1.0, 0.0)


def unreadable(path: Path, error: BaseException | str) -> UnreadableVolume:
    """One sentence that names the file and gives the reader's own reason, without paths or line numbers."""
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
    """The three sizes of a volume whose trailing axes of one voxel are dropped.

    Raises:
        UnreadableVolume: if it is not 3-D, is empty, or is larger than MAX_VOXELS.
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
    """Voxels that stand for those of a file where only its geometry is wanted: all 0, without memory."""
    return np.broadcast_to(np.zeros((), dtype=dtype), shape)


def require_numbers(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse voxels that are no integers or real numbers.

    Raises:
        UnreadableVolume: for colour, complex numbers and blocks of bytes.
    """
    if dtype.kind not in "buif":
        raise UnreadableVolume(
            f"'{path.name}' holds voxels of type {dtype}; integers and real numbers are allowed. "
            "Save a grey image instead."
        )


def require_one_value(path: Path, count: int) -> None:
    """Refuse voxels of more than one value.

    Raises:
        UnreadableVolume: for colour, vectors and segmentations with overlapping segments.
    """
    if count != 1:
        raise UnreadableVolume(
            f"'{path.name}' has {count} values per voxel (colour, or a segmentation with overlapping segments); "
            "1 is allowed. Save a grey image or a single-layer label map."
        )


def require_place(path: Path, affine: Float[np.ndarray, "4 4"]) -> None:
    """Refuse an affine of which a number is NaN, infinite or absurd.

    Raises:
        UnreadableVolume: with the number.
    """
    wrong = affine[~(np.abs(affine) <= MAX_PLACE)]
    if wrong.size:
        raise UnreadableVolume(
            f"'{path.name}' has an affine with the number {wrong[0]:g}; finite ones up to {MAX_PLACE:g} are allowed. "
            "Its header is damaged; export it again."
        )
