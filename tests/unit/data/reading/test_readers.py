"""Every file format gives the same volume on the same grid, and every bad file is refused with one sentence."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2 import geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.formats import file_formats, voxel_stream
from medvlsam2.data.reading.names import default_image_id
from medvlsam2.errors import UnreadableVolume

FORMATS = ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha", "scan.mhd", "scan.nhdr"]


def write(path, values, affine):
    """Write with the reference library of each format, without the code under test."""
    if ".nii" in path.name:
        nib.save(nib.Nifti1Image(values, affine), path)
        return path
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    affine_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=path.name == "scan.nrrd")
    return path


def error_of(path):
    with pytest.raises(UnreadableVolume) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path.parent) not in message
    return message


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_oblique_volume(tmp_path, small_hu, oblique_affine, name):
    volume = read_volume(write(tmp_path / name, small_hu, oblique_affine))
    np.testing.assert_array_equal(volume.hu, small_hu)
    np.testing.assert_allclose(volume.affine, oblique_affine, atol=1e-4)
    assert volume.hu.dtype == np.int16
    assert volume.image_id == "scan"
    assert volume.warnings == ()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_nifti_is_read_in_parts_as_nibabel_reads_it_whole(tmp_path, small_hu, oblique_affine, name, monkeypatch):
    """The voxels are scaled and big-endian, and a part may end in the middle of a voxel."""
    image = nib.Nifti1Image(small_hu.astype(">i2"), oblique_affine)
    image.header.set_data_dtype(">i2")
    image.header.set_slope_inter(2.0, -10.0)
    image.to_filename(tmp_path / name)
    monkeypatch.setattr(voxel_stream, "READ_AT_ONCE_BYTES", 7)
    expected = np.asanyarray(nib.load(tmp_path / name).dataobj)
    np.testing.assert_array_equal(file_formats.read_array(tmp_path / name).values, expected)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd"])
def test_a_sheared_grid_is_kept_exactly(tmp_path, small_hu, oblique_affine, name):
    sheared = oblique_affine @ np.array([[1, 0, 0, 0], [0, 1, 0.4, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    volume = read_volume(write(tmp_path / name, small_hu, sheared))
    np.testing.assert_allclose(volume.affine, sheared, atol=1e-4)


def test_nrrd_in_ras_space_lies_where_it_says(tmp_path, small_hu):
    header = (
        "NRRD0005\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 7 9\n"
        "space directions: (0.7,0,0) (0,0.9,0) (0,0,2.5)\nkinds: domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (10,20,30)\n\n"
    )
    path = tmp_path / "ras.nrrd"
    path.write_bytes(header.encode() + small_hu.tobytes(order="F"))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert volume.orientation == "RAS"
    np.testing.assert_allclose(volume.affine[:3, 3], (10, 20, 30))


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.mha"])
def test_a_trailing_axis_of_one_is_dropped(tmp_path, small_hu, name):
    path = tmp_path / name
    if name.endswith(".mha"):
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(small_hu[..., None].T), isVector=False), str(path))
    else:
        nib.save(nib.Nifti1Image(small_hu[..., None, None], np.diag([-1.0, -1, 1, 1])), path)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert volume.orientation == "LPS"


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(("shape", "said"), [((5, 7), "2-D"), ((5, 7, 9, 2), "4-D"), ((5, 7, 9, 1, 2), "5-D")])
def test_other_dimensions_are_refused_with_the_shape(tmp_path, shape, said, suffix):
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    path = tmp_path / f"scan{suffix}"
    if suffix == ".nii.gz":
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(values.T), isVector=False), str(path))
    message = error_of(path)
    assert said in message
    assert str(shape) in message


def test_a_single_slice_is_refused_with_its_shape(tmp_path):
    path = write(tmp_path / "flat.nii.gz", np.arange(35, dtype=np.int16).reshape(5, 7, 1), np.eye(4))
    assert "(5, 7, 1)" in error_of(path)


def test_scaling_of_the_header_is_applied(tmp_path, small_hu):
    image = nib.Nifti1Image((small_hu + 1024).astype(np.uint16), np.eye(4))
    image.header.set_slope_inter(1.0, -1024.0)
    nib.save(image, tmp_path / "scaled.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "scaled.nii.gz").hu, small_hu)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "int32", "int64", "float32", "float64", ">f4"])
def test_every_number_type_gives_the_same_volume(tmp_path, small_hu, dtype):
    path = tmp_path / "typed.nii"
    nib.save(nib.Nifti1Image(small_hu.astype(dtype), np.eye(4), dtype=np.dtype(dtype)), path)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert volume.hu.dtype.isnative


def test_values_are_rounded_and_clipped_and_padding_becomes_air(tmp_path):
    values = np.full((5, 7, 9), -1000, np.float32)
    values[0, 0, :6] = (-3024, -2000, 40.6, -0.6, 3071.4, 30000)
    volume = read_volume(write(tmp_path / "padded.nii.gz", values, np.eye(4)))
    assert volume.hu[0, 0, :6].tolist() == [-1024, -1024, 41, -1, 3071, 3071]


def test_nan_and_infinite_voxels_are_counted(tmp_path, small_hu):
    values = small_hu.astype(np.float32)
    values[1, 2, 3], values[2, 2, 2], values[0, 0, 0] = np.nan, np.inf, -np.inf
    message = error_of(write(tmp_path / "holes.nii.gz", values, np.eye(4)))
    assert "3 NaN or infinite voxels of 315" in message
    assert "'holes'" in message


@pytest.mark.parametrize(("value", "said"), [(0, "every voxel is 0 HU"), (-3000, "stored values -3000 to -3000")])
def test_an_empty_volume_is_refused_with_its_value(tmp_path, value, said):
    assert said in error_of(write(tmp_path / "empty.nii.gz", np.full((5, 7, 9), value, np.int16), np.eye(4)))


def test_a_volume_that_is_constant_only_after_clipping_is_refused_with_its_range(tmp_path):
    values = np.linspace(5000, 9000, 315).reshape(5, 7, 9).astype(np.int16)
    assert "stored values 5000 to 9000" in error_of(write(tmp_path / "high.nii.gz", values, np.eye(4)))


def test_colour_and_complex_voxels_are_refused(tmp_path):
    colour = np.zeros((5, 7, 9), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "voxels of type" in error_of(write(tmp_path / "rgb.nii.gz", colour, np.eye(4)))
    complex_values = np.ones((5, 7, 9), np.complex64)
    assert "complex64" in error_of(write(tmp_path / "complex.nii", complex_values, np.eye(4)))
    vector = sitk.GetImageFromArray(np.zeros((9, 7, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(vector, str(tmp_path / "rgb.nrrd"))
    assert "3 values per voxel" in error_of(tmp_path / "rgb.nrrd")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_truncated_files_are_refused_in_one_sentence(tmp_path, small_hu, oblique_affine, name, share):
    noise = np.random.default_rng(0).integers(-1000, 400, (15, 17, 19)).astype(np.int16)
    path = write(tmp_path / name, noise, oblique_affine)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    message = error_of(path)
    assert f"'{name}' is damaged or truncated" in message
    assert "No such file" not in message


def test_header_fields_that_are_not_text_are_read_or_refused(tmp_path, small_hu, oblique_affine):
    path = write(tmp_path / "scan.mha", small_hu, oblique_affine)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"AnatomicalOrientation = ", b"Anat\xffmical = \xfe\xffnote: "))
    np.testing.assert_array_equal(read_volume(path).hu, small_hu)


def test_a_header_without_its_voxel_file_is_refused(tmp_path, small_hu, oblique_affine):
    path = write(tmp_path / "scan.mhd", small_hu, oblique_affine)
    (tmp_path / "scan.raw").unlink()
    assert "'scan.mhd' is a header alone: its data file 'scan.raw' is not there" in error_of(path)


def test_a_wrong_content_under_a_known_name_is_refused(tmp_path):
    (tmp_path / "page.nii.gz").write_bytes(gzip.compress(b"<html>not found</html>" * 40))
    assert "'page.nii.gz'" in error_of(tmp_path / "page.nii.gz")
    (tmp_path / "page.nrrd").write_text("<html>not found</html>", encoding="utf-8")
    assert "'page.nrrd'" in error_of(tmp_path / "page.nrrd")
    (tmp_path / "page.dcm").write_text("<html>not found</html>", encoding="utf-8")
    assert "'page.dcm'" in error_of(tmp_path / "page.dcm")


def test_a_header_that_promises_too_much_is_refused_before_memory_is_allocated(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header["dim"] = (3, 32767, 32767, 32767, 1, 1, 1, 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "huge.nii").write_bytes(header.binaryblock + b"\0" * 400)
    assert "(32767, 32767, 32767)" in error_of(tmp_path / "huge.nii")


def test_a_damaged_affine_is_refused(tmp_path, small_hu):
    path = write(tmp_path / "flat.nii", small_hu, np.eye(4))
    content = bytearray(path.read_bytes())
    content[280:328] = b"\0" * 48
    path.write_bytes(content)
    assert "affine" in error_of(path)


def test_missing_and_unknown_files_are_named(tmp_path):
    assert "'gone.nii.gz' is not there" in error_of(tmp_path / "gone.nii.gz")
    (tmp_path / "scan.xyz").write_text("?", encoding="utf-8")
    message = error_of(tmp_path / "scan.xyz")
    assert "'scan.xyz'" in message
    assert ".nii.gz" in message


def test_a_nifti_without_orientation_warns_that_sides_are_guessed(tmp_path, small_hu):
    image = nib.Nifti1Image(small_hu, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "bare.nii")
    assert read_volume(tmp_path / "bare.nii").warnings == (
        "The NIfTI header holds no orientation: left/right is not known (left and right are guessed).",
    )


def test_two_different_orientations_in_a_nifti_give_a_warning(tmp_path, small_hu):
    image = nib.Nifti1Image(small_hu, np.eye(4))
    image.set_sform(np.eye(4), code=1)
    image.set_qform(np.diag([-1.0, -1.0, 1.0, 1.0]), code=1)
    nib.save(image, tmp_path / "two.nii")
    volume = read_volume(tmp_path / "two.nii")
    np.testing.assert_array_equal(volume.affine, np.eye(4))
    assert "differ by up to 14.4 mm: the sform is used" in volume.warnings[0]


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("a.nii.gz", "a"), ("chest.1.NII.GZ", "chest.1"), ("b.seg.nrrd", "b"), ("c.mha", "c"),
        ("1.2.840.113", "1.2.840.113"), ("slice.dcm", "slice"), (".nii", ".nii"),
    ],
)  # fmt: skip
def test_image_id_is_the_name_without_its_suffix(tmp_path, name, image_id):
    assert default_image_id(tmp_path / name) == image_id


def test_the_real_abdomen_lies_where_simpleitk_puts_it(shared_data):
    path = shared_data / "ct" / "TS_abdo" / "image.nii.gz"
    volume, reference = read_volume(path), sitk.ReadImage(str(path))
    assert volume.image_id == "image"
    assert volume.shape_ijk == (122, 101, 112)
    assert volume.spacing_mm == pytest.approx((3, 3, 3), abs=1e-4)
    np.testing.assert_array_equal(volume.hu, sitk.GetArrayFromImage(reference).T)
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(volume.shape_ijk) - 1)
    for corner, ras in zip(corners, geometry.ijk_to_ras(corners, volume.affine), strict=True):
        lps = reference.TransformIndexToPhysicalPoint([int(index) for index in corner])
        np.testing.assert_allclose(ras * (-1, -1, 1), lps, atol=1e-3)
