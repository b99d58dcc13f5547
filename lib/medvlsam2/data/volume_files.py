"""Writer of scans, for phantoms and exports."""

from __future__ import annotations

from pathlib import Path

from medvlsam2.atomic_files import replacing
from medvlsam2.data.placement import scan_affine
from medvlsam2.data.placement.nifti_place import write_nifti
from medvlsam2.data.volume import CTVolume


def write_volume(path: Path | str, volume: CTVolume) -> None:
    """Write a scan as NIfTI in int16 HU on exactly its grid; programs show it where they show the scan's own file.

    The file is written atomically.

    Args:
        path: path that ends in ``.nii.gz`` or ``.nii``.
        volume: the scan.

    Raises:
        StorageFull: if the disk is full.
    """
    with replacing(Path(path)) as partial:
        write_nifti(partial, volume.hu, scan_affine.place_header(volume.affine, volume.shape_ijk))
