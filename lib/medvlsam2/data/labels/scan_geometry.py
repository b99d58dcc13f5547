"""The grid of a scan, from its headers: its voxels are not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from medvlsam2.data.readers import read_stored


@dataclass(frozen=True, eq=False)
class ScanGeometry:
    """The grid of a scan.

    Args:
        shape_ijk: voxels along i, j and k, in the array order of the file.
        affine: 4x4, ``_ijk`` voxel centre to ``_ras`` mm.
        image_id: name in messages.
    """

    shape_ijk: tuple[int, int, int]
    affine: Float[np.ndarray, "4 4"]
    image_id: str


def read_geometry(path: Path | str, image_id: str) -> ScanGeometry:
    """The grid of a scan, from headers alone: the same as :func:`medvlsam2.data.readers.read_volume` gives.

    Raises:
        UnreadableVolume: if it is no scan, or its header is damaged; its voxels may be damaged still.
        VolumeTooLarge: if it does not fit the memory budget.
    """
    stored = read_stored(Path(path), geometry_only=True)
    i, j, k = stored.values.shape
    return ScanGeometry((i, j, k), stored.affine, image_id)
