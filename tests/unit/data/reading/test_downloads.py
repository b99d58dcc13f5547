"""A scan that ITK would show at another place than this package reads it is sent to viewers as a new NIfTI file."""

from __future__ import annotations

import bz2
import gzip
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.label_maps import read_label_map, write_label_map
from medvlsam2.data.labels.as_sent import is_plain
from medvlsam2.data.labels.placing import on_scan_grid
from medvlsam2.data.labels.scan_geometry import read_geometry
from medvlsam2.data.placement.scan_affine import for_viewers
from medvlsam2.data.readers import read_volume
from medvlsam2.data.scan_download import as_one_file, loads_as_it_is

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 9\nspace: LPS\nspace directions: {}\nendian: little\n"
    "encoding: {}\n{}\n"
)
MM, UM = "(4,0,0) (0,4,0) (0,0,5)", "(4000,0,0) (0,4000,0) (0,0,5000)"


def files(hu):
    """The scans by name, each with whether ITK shows the scan where it lies."""
    raw = hu.tobytes(order="F")
    nifti = nib.Nifti1Image(hu, np.diag([-4.0, -4, 5, 1])).to_bytes()
    meta = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        "ElementSpacing = {}\n{}DimSize = 5 7 9\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    packed_meta = meta.format("4 4 5", "CompressedData = True\n")
    return {
        "good.nrrd": (NRRD.format(MM, "raw", 'space units: "mm" "mm" "mm"\n').encode() + raw, True),
        "microns.nrrd": (NRRD.format(UM, "raw", 'space units: "um" "um" "um"\n').encode() + raw, False),
        "bzip2.nrrd": (NRRD.format(MM, "bzip2", "").encode() + bz2.compress(raw), False),
        "good.mha": (meta.format("4 4 5", "DistanceUnits = mm\n").encode() + raw, True),
        "centimetres.mha": (meta.format("0.4 0.4 0.5", "DistanceUnits = cm\n").encode() + raw, False),
        "no size.mha": (packed_meta.encode() + zlib.compress(raw), False),
        "text.mha": (
            meta.format("4 4 5", "").replace("Data = True", "Data = False").encode()
            + " ".join(map(str, hu.ravel(order="F"))).encode(),
            False,
        ),
        "time.nrrd": (
            NRRD.format("(4,0,0,0) (0,4,0,0) (0,0,5,0) (0,0,0,1)", "raw", "")
            .replace("LPS", "RAST")
            .replace("dimension: 3", "dimension: 4")
            .replace("5 7 9", "5 7 9 1")
            .encode()
            + raw,
            False,
        ),
        "field.nrrd": (NRRD.format(MM, "raw", "made by: hand\n").encode() + raw, False),
        "version 2.nii.gz": (gzip.compress(nib.Nifti2Image(hu, np.diag([-4.0, -4, 5, 1])).to_bytes()), False),
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
        "no size.mha",
        "text.mha",
        "time.nrrd",
        "field.nrrd",
        "version 2.nii.gz",
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


def sheared_nifti(folder, hu, write_series):
    """A sform alone, as dcm2niix writes it for a tilted gantry: ITK refuses it."""
    affine = np.diag([-4.0, -4, 5, 1])
    affine[1, 2] = 1.2
    image = nib.Nifti1Image(hu, affine)
    image.set_qform(None, code=0)
    nib.save(image, folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def tilted_series(folder, hu, write_series):
    write_series(folder / "series", step_lps=(0.0, 0.6, 2.5))
    return folder / "series"


def nrrd_in_centimetres(folder, hu, write_series):
    header = NRRD.format("(0.4,0,0) (0,0.4,0) (0,0,0.5)", "raw", 'space units: "cm" "cm" "cm"\n')
    (folder / "scan.nrrd").write_bytes(header.encode() + hu.tobytes(order="F"))
    return folder / "scan.nrrd"


@pytest.mark.parametrize("scan", [sheared_nifti, tilted_series, nrrd_in_centimetres])
def test_every_mask_lies_on_the_scan_that_was_sent(tmp_path, small_hu, write_series, scan):
    source = scan(tmp_path, small_hu, write_series)
    assert not loads_as_it_is(source)
    sent = sitk.ReadImage(str(as_one_file(source, tmp_path / "cache", "scan")))
    volume = read_volume(source)
    mask = np.zeros(volume.shape_ijk, np.uint8)
    mask[1:3, 2:5, 3:6] = 1
    for name in ("mask.nrrd", "mask.seg.nrrd", "mask.nii.gz"):
        write_label_map(tmp_path / name, mask, for_viewers(volume.affine, volume.shape_ijk), {1: "liver"})
        image = sitk.ReadImage(str(tmp_path / name))
        for voxel in ((0, 0, 0), (4, 6, 8), (4, 0, 8)):
            here, there = (one.TransformIndexToPhysicalPoint(voxel) for one in (image, sent))
            np.testing.assert_allclose(here, there, atol=1e-3, err_msg=name)
        assert is_plain(tmp_path / name, read_geometry(source, "scan"))
        placed = on_scan_grid("The label", read_label_map(tmp_path / name), volume.shape_ijk, volume.affine)
        np.testing.assert_array_equal(placed.values, mask)
