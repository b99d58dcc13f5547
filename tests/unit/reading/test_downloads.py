"""What we read and ITK does not show in the same place goes to viewers as a NIfTI file of its own."""

from __future__ import annotations

import bz2
import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.readers import read_volume
from medvlsam2.data.scan_download import as_one_file, loads_as_it_is

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 9\nspace: LPS\nspace directions: {}\nendian: little\n"
    "encoding: {}\n{}\n"
)
MM, UM = "(4,0,0) (0,4,0) (0,0,5)", "(4000,0,0) (0,4000,0) (0,0,5000)"


def files(hu):
    """Each scan by name, and whether ITK shows it where it lies."""
    raw = hu.tobytes(order="F")
    nifti = nib.Nifti1Image(hu, np.diag([-4.0, -4, 5, 1])).to_bytes()
    meta = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        "ElementSpacing = {}\n{}DimSize = 5 7 9\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return {
        "good.nrrd": (NRRD.format(MM, "raw", 'space units: "mm" "mm" "mm"\n').encode() + raw, True),
        "microns.nrrd": (NRRD.format(UM, "raw", 'space units: "um" "um" "um"\n').encode() + raw, False),
        "bzip2.nrrd": (NRRD.format(MM, "bzip2", "").encode() + bz2.compress(raw), False),
        "good.mha": (meta.format("4 4 5", "DistanceUnits = mm\n").encode() + raw, True),
        "centimetres.mha": (meta.format("0.4 0.4 0.5", "DistanceUnits = cm\n").encode() + raw, False),
        "good.nii.gz": (gzip.compress(nifti), True),
        "plain.nii.gz": (nifti, False),
        "packed.nii": (gzip.compress(nifti), False),
    }


@pytest.mark.parametrize(
    "name",
    [
        "good.nrrd",
        "microns.nrrd",
        "bzip2.nrrd",
        "good.mha",
        "centimetres.mha",
        "good.nii.gz",
        "plain.nii.gz",
        "packed.nii",
    ],
)
def test_a_viewer_gets_the_scan_where_it_lies(tmp_path, small_hu, name):
    content, as_it_is = files(small_hu)[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert loads_as_it_is(path) == as_it_is
    sent = path if as_it_is else as_one_file(path, tmp_path / "cache", "scan")
    image = sitk.ReadImage(str(sent))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, small_hu)
    assert image.GetSpacing() == pytest.approx((4, 4, 5))
    assert read_volume(path).spacing_mm == pytest.approx((4, 4, 5))
