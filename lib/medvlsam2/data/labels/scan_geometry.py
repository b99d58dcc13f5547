"""Where the voxels of a scan lie, without reading them where the format allows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from medvlsam2.data.readers import read_volume


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
    """The grid of a scan: the same as :func:`medvlsam2.data.readers.read_volume` gives.

    Raises:
        UnreadableVolume: if it is no readable scan.
    """
    volume = read_volume(path, image_id)
    return ScanGeometry(volume.shape_ijk, volume.affine, image_id)
