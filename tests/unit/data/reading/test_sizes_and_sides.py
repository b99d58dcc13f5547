"""Units of length become mm; impossible sizes are refused; unusual sizes and unknown sides give a warning."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from medvlsam2 import geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume

SHAPE = (20, 18, 16)
AFFINE = np.array([[-4.0, 0, 0, 90], [0, -4.0, 0, 95], [0, 0, 5.0, -300], [0, 0, 0, 1]])
MM_PER_NIFTI_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
UNKNOWN_SIDES = "left/right is not known"
NO_SIZE = "holds no voxel size: 1 mm was assumed"


@pytest.fixture
def hu():
    """A body of 40 HU in air."""
    values = np.full(SHAPE, -1000, np.int16)
    values[4:16, 4:14] = 40
    values[6:8, 6:8, 6:8] = 300
    return values


def nifti(path, hu, affine=AFFINE, *, units=2, codes=(1, 1), pixdim=None):
    """Written field by field, so that nibabel makes nothing consistent."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(hu.shape)
    header.set_qform(affine, codes[1])
    header.set_sform(affine if codes[0] else np.zeros((4, 4)), codes[0])
    header["xyzt_units"], header["magic"], header["vox_offset"] = units, b"n+1", 352
    if pixdim is not None:
        header["pixdim"][1:4] = pixdim
    path.write_bytes(header.binaryblock + bytes(4) + hu.tobytes(order="F"))
    return path


def nrrd(path, hu, **fields):
    lines = {
        "type": "short", "dimension": "3", "sizes": " ".join(map(str, hu.shape)), "endian": "little",
        "encoding": "raw", **fields,
    }  # fmt: skip
    header = "NRRD0005\n" + "".join(f"{key.replace('_', ' ')}: {value}\n" for key, value in lines.items())
    path.write_bytes(header.encode() + b"\n" + hu.tobytes(order="F"))
    return path


def metaimage(path, hu, **fields):
    lines = {
        "ObjectType": "Image", "NDims": 3, "BinaryData": "True", "DimSize": " ".join(map(str, hu.shape)),
        "ElementType": "MET_SHORT", **fields, "ElementDataFile": "LOCAL",
    }  # fmt: skip
    path.write_bytes("".join(f"{key} = {value}\n" for key, value in lines.items()).encode() + hu.tobytes(order="F"))
    return path


@pytest.mark.parametrize("units", MM_PER_NIFTI_UNIT)
def test_a_nifti_in_any_unit_lies_in_mm(tmp_path, hu, units):
    stored = AFFINE.copy()
    stored[:3] /= MM_PER_NIFTI_UNIT[units]
    volume = read_volume(nifti(tmp_path / "scan.nii", hu, stored, units=units | 8))  # 8 is the code for seconds
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-5)
    assert geometry.voxel_volume_ml(volume.affine) == pytest.approx(0.08)
    told = [warning for warning in volume.warnings if "converted to mm" in warning]
    assert len(told) == (units in (1, 3))


@pytest.mark.parametrize(
    ("unit", "mm"), [("um", 0.001), ("µm", 0.001), ("microns", 0.001), ("cm", 10), ("m", 1000), ("mm", 1)]
)
def test_a_nrrd_in_any_unit_lies_in_mm(tmp_path, hu, unit, mm):
    directions = f"({4 / mm:.9g},0,0) (0,{4 / mm:.9g},0) (0,0,{5 / mm:.9g})"
    volume = read_volume(
        nrrd(
            tmp_path / "scan.nrrd", hu, space="LPS", space_directions=directions,
            space_origin=f"({-90 / mm:.9g},{-95 / mm:.9g},{-300 / mm:.9g})", space_units=" ".join([f'"{unit}"'] * 3),
        )
    )  # fmt: skip
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-6)
    assert any(f"lengths in {unit}: they were converted" in warning for warning in volume.warnings) == (mm != 1)


def test_the_units_of_axes_and_of_a_metaimage_count_too(tmp_path, hu):
    volume = read_volume(nrrd(tmp_path / "scan.nrrd", hu, spacings="0.4 0.4 0.5", units='"cm" "cm" "cm"'))
    assert volume.spacing_mm == pytest.approx((4, 4, 5))
    volume = read_volume(
        metaimage(
            tmp_path / "scan.mha", hu, ElementSpacing="0.4 0.4 0.5", DistanceUnits="cm", Offset="-9 -9.5 -30",
            TransformMatrix="1 0 0 0 1 0 0 0 1",
        )
    )  # fmt: skip
    np.testing.assert_allclose(volume.affine, AFFINE)


def test_an_unknown_unit_gives_a_warning(tmp_path, hu):
    units = '"furlong" "furlong" "furlong"'
    path = nrrd(tmp_path / "scan.nrrd", hu, space="LPS", space_directions="(4,0,0) (0,4,0) (0,0,5)", space_units=units)
    assert any("'furlong', an unknown unit: mm was assumed" in warning for warning in read_volume(path).warnings)


def test_a_missing_voxel_size_gives_a_warning_in_every_format(tmp_path, hu):
    paths = [
        nrrd(tmp_path / "scan.nrrd", hu, space="LPS"),
        metaimage(tmp_path / "scan.mha", hu, TransformMatrix="1 0 0 0 1 0 0 0 1"),
        nifti(tmp_path / "scan.nii", hu, codes=(0, 0), pixdim=(0, 0, 0)),
        nifti(tmp_path / "nan.nii", hu, codes=(0, 0), pixdim=(np.nan, 1, 1)),
    ]
    for path in paths[:3]:
        volume = read_volume(path)
        assert volume.spacing_mm == (1, 1, 1)
        assert any(NO_SIZE in warning for warning in volume.warnings), path.name
    with pytest.raises(UnreadableVolume, match="the number nan"):
        read_volume(paths[3])


def test_a_sform_without_the_voxel_size_gives_a_warning(tmp_path, hu):
    path = nifti(tmp_path / "scan.nii", hu, np.eye(4), codes=(1, 0), pixdim=(4, 4, 5))
    assert any(
        "voxel size is 4 x 4 x 5, that of its sform 1 x 1 x 1" in warning for warning in read_volume(path).warnings
    )


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (1000.0, "voxels of 4000 x 4000 x 5000 mm; 0.005 to 100 mm are allowed"),
        (0.001, "voxels of 0.004 x 0.004 x 0.005 mm"),
        (10.0, None),
    ],
)
def test_sizes_that_no_patient_has_are_refused_or_give_a_warning(tmp_path, hu, scale, said):
    path = nifti(tmp_path / "scan.nii", hu, scaled(scale))
    if said:
        with pytest.raises(UnreadableVolume, match=said):
            read_volume(path)
    else:
        assert any("40 x 40 x 50 mm, which is unusual" in warning for warning in read_volume(path).warnings)


def scaled(scale):
    """The affine in another unit."""
    affine = AFFINE.copy()
    affine[:3] *= scale
    return affine


def test_a_scan_of_many_metres_is_refused_and_a_tiny_scan_gives_a_warning(tmp_path):
    long = np.full((2, 2, 900), -1000, np.int16)
    long[0] = 40
    with pytest.raises(UnreadableVolume, match=r"is 18\.0 m long"):
        read_volume(nifti(tmp_path / "long.nii", long, np.diag([1.0, 1, 20, 1])))
    tiny = np.full((9, 9, 9), -1000, np.int16)
    tiny[:4] = 40
    warnings = read_volume(nifti(tmp_path / "tiny.nii", tiny, np.diag([0.1, 0.1, 0.1, 1]))).warnings
    assert any("longest side is 0.9 mm" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"space": "LPS"}, True),
        ({"space": "right-anterior-superior"}, True),
        ({"space": "LAS"}, True),
        ({"space": "scanner-xyz"}, False),
        ({"space": "3D-right-handed"}, False),
        ({"space": "3D-left-handed"}, False),
        ({"space_dimension": "3"}, False),
    ],
)
def test_a_nrrd_without_a_patient_space_gives_a_warning_about_the_sides(tmp_path, hu, fields, known):
    path = nrrd(tmp_path / "scan.nrrd", hu, **fields, space_directions="(4,0,0) (0,4,0) (0,0,5)")
    assert any(UNKNOWN_SIDES in warning for warning in read_volume(path).warnings) != known


IDENTITY = "1 0 0 0 1 0 0 0 1"
TURNED = "-1 0 0 0 -1 0 0 0 1"


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"TransformMatrix": IDENTITY}, True),
        ({"Rotation": IDENTITY}, True),
        ({"Orientation": IDENTITY}, True),
        ({"TransformMatrix": IDENTITY, "AnatomicalOrientation": "RAI"}, True),
        ({"TransformMatrix": TURNED, "AnatomicalOrientation": "LPI"}, True),
        ({"TransformMatrix": IDENTITY, "AnatomicalOrientation": "???"}, True),
        ({"AnatomicalOrientation": "RAI"}, True),
        ({}, False),
        ({"AnatomicalOrientation": "???"}, False),
        ({"AnatomicalOrientation": "LPI"}, False),
        ({"TransformMatrix": IDENTITY, "AnatomicalOrientation": "LPI"}, False),
    ],
)
def test_a_metaimage_without_sides_gives_a_warning(tmp_path, hu, fields, known):
    path = metaimage(tmp_path / "scan.mha", hu, ElementSpacing="4 4 5", **fields)
    assert any(UNKNOWN_SIDES in warning for warning in read_volume(path).warnings) != known


@pytest.mark.parametrize(("codes", "known"), [((0, 0), False), ((1, 0), True), ((0, 1), True), ((2, 1), True)])
def test_a_nifti_without_orientation_gives_a_warning(tmp_path, hu, codes, known):
    volume = read_volume(nifti(tmp_path / "scan.nii", hu, codes=codes))
    assert any(UNKNOWN_SIDES in warning for warning in volume.warnings) != known


def test_a_scale_that_no_viewer_applies_gives_a_warning(tmp_path, hu):
    fields = {"TransformMatrix": IDENTITY, "ElementToIntensityFunctionOffset": "-1024"}
    path = metaimage(tmp_path / "scan.mha", hu, ElementSpacing="4 4 5", **fields)
    assert any(
        "times 1 plus -1024: the values were taken as stored" in warning for warning in read_volume(path).warnings
    )
