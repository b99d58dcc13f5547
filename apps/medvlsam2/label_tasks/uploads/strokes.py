"""A label map that comes with a request: strokes and what segments hold so far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from label_tasks.uploads.private_files import write_private
from label_tasks.uploads.received import ending
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidRequest

BARE: Final = ".bin"
"""Bare voxels, as OHIF sends them: one byte each, i fastest, on the grid of the scan."""
ENDINGS: Final = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", BARE)


def label_file(name: str, source: BinaryIO, folder: Path, scan: Callable[[], CTVolume]) -> Path:
    """Write an uploaded label map.

    Args:
        name: that the client gave the file; only its ending is used.
        source: what it holds.
        folder: a private one.
        scan: reads the scan that it belongs to; bare voxels take their grid from it.

    Raises:
        InvalidRequest: if the ending is another one, or bare voxels are not one byte for each voxel of the scan.
    """
    found = ending(name, ENDINGS)
    if not found:
        raise InvalidRequest(f"The label map cannot be taken by its name. It must end in {', '.join(ENDINGS)}.")
    path = folder / f"strokes{found}"
    size_bytes = write_private(source, path)
    if found != BARE:
        return path
    volume = scan()
    voxels = int(np.prod(volume.shape_ijk))
    if size_bytes != voxels:
        raise InvalidRequest(
            f"The label map has {size_bytes} bytes, but the scan has {voxels} voxels {volume.shape_ijk}. Send one byte "
            "for each voxel, i fastest."
        )
    values = np.fromfile(path, dtype=np.uint8).reshape(volume.shape_ijk, order="F")
    written = folder / "strokes.nii.gz"
    write_label_map(written, values, volume.affine, {})
    path.unlink()
    return written
