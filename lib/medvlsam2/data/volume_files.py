"""Scans to disk, for phantoms and exports."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib

from medvlsam2.data.volume import CTVolume


def write_volume(path: Path | str, volume: CTVolume) -> None:
    """Write a scan as NIfTI in int16 HU on exactly its grid: the sform, with the nearest rotation as qform for ITK.

    Args:
        path: ends in ``.nii.gz`` or ``.nii``.
        volume: the scan.
    """
    image = nib.Nifti1Image(volume.hu, volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code="scanner")
    image.set_qform(volume.affine, code="scanner")  # nibabel strips shear
    nib.save(image, path)
