"""The label map in a request: strokes, and the voxels that the segments hold so far."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from label_tasks.uploads.private_files import write_private
from label_tasks.uploads.received import ending
from medvlsam2.data.label_maps import LabelMap, read_label_map
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidRequest

BARE: Final = ".bin"
"""Suffix of voxels without a header, as OHIF sends them: one byte each, i fastest, on the grid of the scan."""
ENDINGS: Final = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", BARE)


def write_label_file(name: str, source: BinaryIO, folder: Path) -> Path:
    """Write an uploaded label map.

    Args:
        name: file name that the client gave; only its suffix is used.
        source: content of the file.
        folder: a private folder for the file.

    Raises:
        InvalidRequest: if the suffix is none of ``ENDINGS``.
    """
    found = ending(name, ENDINGS)
    if not found:
        raise InvalidRequest(f"The label map cannot be taken by its name. It must end in {', '.join(ENDINGS)}.")
    path = folder / f"strokes{found}"
    write_private(source, path)
    return path


def label_map_at(path: Path | str, volume: CTVolume) -> LabelMap:
    """Read an uploaded label map; voxels without a header lie on the grid of the scan.

    Raises:
        InvalidRequest: if voxels without a header are not one byte for each voxel of the scan.
        UnreadableVolume: see :func:`read_label_map`.
    """
    if Path(path).suffix != BARE:
        return read_label_map(path)
    values = np.fromfile(path, dtype=np.uint8)
    voxels = int(np.prod(volume.shape_ijk))
    if len(values) != voxels:
        raise InvalidRequest(
            f"The label map has {len(values)} bytes, but the scan has {voxels} voxels {volume.shape_ijk}. Send one "
            "byte for each voxel, i fastest."
        )
    return LabelMap(values.reshape(volume.shape_ijk, order="F").astype(np.uint16), volume.affine)
