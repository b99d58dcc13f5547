"""DICOM series: sorted by position, exact also with a tilted gantry, refused when a slice is missing or repeated."""

from __future__ import annotations

import shutil
import tarfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from medvlsam2 import geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume

TILT_DEG = 12.0


def error_of(path):
    """Return the error text for a path, after a check that the text holds no patient data."""
    with pytest.raises(UnreadableVolume) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "Secret" not in message
    assert "SECRET" not in message
    assert str(path.parent) not in message
    return message


def test_shuffled_file_names_give_the_slices_in_order(tmp_path, write_series, small_hu):
    write_series(tmp_path / "chest")
    volume = read_volume(tmp_path / "chest")
    assert volume.image_id == "chest"
    assert volume.warnings == ()
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, small_hu)
    expected_lps = np.array([[0.7, 0, 0, -10], [0, 0.9, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.affine, np.diag([-1, -1, 1, 1]) @ expected_lps, atol=1e-9)
    assert volume.orientation == "LPS"


def test_slices_are_counted_along_the_normal_whatever_the_order_of_acquisition(tmp_path, write_series, small_hu):
    write_series(tmp_path / "head_first", step_lps=(0.0, 0.0, -2.5))
    volume = read_volume(tmp_path / "head_first")
    np.testing.assert_array_equal(volume.hu, small_hu[:, :, ::-1])
    np.testing.assert_allclose(volume.affine[:3, 2], (0, 0, 2.5), atol=1e-9)
    np.testing.assert_allclose(volume.affine[:3, 3], (10, 20, 30 - 8 * 2.5), atol=1e-9)


def test_oblique_series_lies_where_simpleitk_puts_it(tmp_path, write_series, oblique_affine):
    axes = geometry.ras_to_lps_affine(oblique_affine)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    normal = np.cross(axes[:, 0], axes[:, 1])
    folder = tmp_path / "oblique"
    write_series(folder, orientation=(*axes[:, 0], *axes[:, 1]), step_lps=tuple(2.5 * normal))
    assert_same_as_simpleitk(folder)


def assert_same_as_simpleitk(folder):
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    reference = sitk.ReadImage(files)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.hu, np.clip(sitk.GetArrayFromImage(reference).T, -1024, 3071))
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(volume.shape_ijk) - 1)
    for corner, ras in zip(corners, geometry.ijk_to_ras(corners, volume.affine), strict=True):
        lps = reference.TransformIndexToPhysicalPoint([int(index) for index in corner])
        np.testing.assert_allclose(ras * (-1, -1, 1), lps, atol=1e-3)
    return volume


def test_rescale_with_a_fractional_slope_is_applied_and_rounded(tmp_path, write_series, small_hu):
    write_series(tmp_path / "scaled", slope=0.5, intercept=-1000.0)
    np.testing.assert_array_equal(read_volume(tmp_path / "scaled").hu, small_hu)


@pytest.mark.parametrize("drop", [1, 4, 7])
def test_a_missing_slice_is_named_by_its_place(tmp_path, write_series, drop):
    write_series(tmp_path / "gap", skip=(drop,))
    message = error_of(tmp_path / "gap")
    assert f"{30 + 2.5 * (drop - 1):.2f} and {30 + 2.5 * (drop + 1):.2f} mm" in message
    assert "gap is 5.00 mm, elsewhere 2.50 mm (1 missing)" in message


def test_uneven_spacing_is_refused_with_the_gap_and_the_tolerance(tmp_path, write_series):
    paths = write_series(tmp_path / "uneven")
    move(paths[4], dz=0.4)
    message = error_of(tmp_path / "uneven")
    assert "uneven spacing" in message
    assert "A difference of at most 0.1 mm is allowed" in message


@pytest.mark.parametrize(("shift_mm", "readable"), [(0.09, True), (0.11, False)])
def test_the_lattice_tolerance_holds_on_both_sides(tmp_path, write_series, shift_mm, readable):
    paths = write_series(tmp_path / "rounded")
    move(paths[4], dz=shift_mm)
    if readable:
        assert read_volume(tmp_path / "rounded").shape_ijk == (5, 7, 9)
    else:
        assert "elsewhere 2.50 mm" in error_of(tmp_path / "rounded")


def test_a_slice_shifted_in_its_plane_is_refused(tmp_path, write_series):
    paths = write_series(tmp_path / "shifted")
    move(paths[3], dx=1.5)
    message = error_of(tmp_path / "shifted")
    assert "slice at 37.50 mm lies 1.50 mm away" in message


def move(path, dx=0.0, dz=0.0):
    dataset = pydicom.dcmread(path)
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [round(x + dx, 6), y, round(z + dz, 6)]
    dataset.save_as(path)


def test_a_tilted_gantry_gives_the_exact_sheared_affine_and_a_warning(tmp_path, write_series, small_hu):
    shift = 2.5 * np.tan(np.radians(TILT_DEG))
    write_series(tmp_path / "tilted", step_lps=(0.0, shift, 2.5))
    volume = read_volume(tmp_path / "tilted")
    np.testing.assert_array_equal(volume.hu, small_hu)
    np.testing.assert_allclose(volume.affine[:3, 2], (0, -shift, 2.5), atol=1e-5)
    last_ras = geometry.ijk_to_ras(np.array([[0, 0, 8]]), volume.affine)[0]
    np.testing.assert_allclose(last_ras, (10, 20 - 8 * shift, 50), atol=1e-5)
    assert geometry.voxel_volume_ml(volume.affine) == pytest.approx(0.7 * 0.9 * 2.5 / 1000)
    assert len(volume.warnings) == 1
    assert "tilted by 12.0 degrees" in volume.warnings[0]


def test_two_different_slices_at_one_place_are_refused_by_name(tmp_path, write_series):
    paths = write_series(tmp_path / "phases")
    dataset = pydicom.dcmread(paths[2])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.save_as(tmp_path / "phases" / "second_phase.dcm")
    message = error_of(tmp_path / "phases")
    assert "second_phase.dcm" in message
    assert paths[2].name in message
    assert "35.00 mm" in message


def test_a_copy_of_a_file_is_left_out_with_a_warning(tmp_path, write_series, small_hu):
    paths = write_series(tmp_path / "copied")
    shutil.copy(paths[2], tmp_path / "copied" / "copy of slice.dcm")
    volume = read_volume(tmp_path / "copied")
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert volume.warnings == ("Copies of the same slice that were left out: 1.",)


def test_the_largest_ct_series_of_a_folder_is_read(tmp_path, write_series, small_hu):
    folder = tmp_path / "study"
    write_series(folder, small_hu[:, :, :3])
    write_series(folder / "below")
    write_series(folder, np.tile(small_hu, (1, 1, 2)), modality="PT")
    write_series(folder, small_hu[:, :, :4], orientation=(0, 1, 0, 0, 0, -1), step_lps=(5.0, 0.0, 0.0))
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert len(volume.warnings) == 1
    for words in ("4 series", "of 9 slices", "3 left out", "PT of 18", "CT of 3", "CT of 4"):
        assert words in volume.warnings[0]


def test_one_file_stands_for_its_own_series(tmp_path, write_series, small_hu):
    folder = tmp_path / "study"
    write_series(folder)
    small = write_series(folder, small_hu[:, :, 2:5])
    volume = read_volume(small[1], image_id="chosen")
    assert volume.image_id == "chosen"
    assert volume.warnings == ()
    np.testing.assert_array_equal(volume.hu, small_hu[:, :, 2:5])


def test_files_without_suffix_are_found_and_other_files_ignored(tmp_path, write_series, small_hu):
    folder = tmp_path / "export"
    for number, path in enumerate(write_series(folder)):
        path.rename(folder / f"IM{number}")
    (folder / "notes.txt").write_text("not a slice", encoding="utf-8")
    write_structured_report(folder / "report.dcm")
    np.testing.assert_array_equal(read_volume(folder).hu, small_hu)
    np.testing.assert_array_equal(read_volume(folder / "IM3").hu, small_hu)


def write_structured_report(path):
    dataset = pydicom.dcmread(pydicom.data.get_testdata_file("reportsi.dcm"))
    assert dataset.Modality == "SR"
    dataset.save_as(path)


def test_other_modalities_are_read_with_a_warning(tmp_path, write_series):
    write_series(tmp_path / "mr", modality="MR")
    assert any("modality is 'MR', not CT" in warning for warning in read_volume(tmp_path / "mr").warnings)


def test_jpeg_2000_slices_are_decoded(tmp_path, write_series, small_hu):
    hu = np.tile(small_hu, (16, 12, 1))
    for path in write_series(tmp_path / "packed", hu):
        dataset = pydicom.dcmread(path)
        image = sitk.ReadImage(str(path), sitk.sitkInt16)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG2000")
        writer.SetFileName(str(path))
        writer.Execute(image)
        packed = pydicom.dcmread(path)
        assert packed.file_meta.TransferSyntaxUID.name.startswith("JPEG 2000")
        packed.SeriesInstanceUID = dataset.SeriesInstanceUID
        packed.save_as(path)
    np.testing.assert_array_equal(read_volume(tmp_path / "packed").hu, hu)


def enhanced_file(path, slices, rescales):
    """An enhanced CT: all slices as frames of one file, in the order given."""
    source = [pydicom.dcmread(file) for file in slices]
    dataset = source[0]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.NumberOfFrames = len(source)
    dataset.PerFrameFunctionalGroupsSequence = [
        frame_group(frame, rescale) for frame, rescale in zip(source, rescales, strict=True)
    ]
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, dataset.SliceThickness
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PixelData = b"".join(frame.PixelData for frame in source)
    for name in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(dataset, name)
    pydicom.dcmwrite(path, dataset, write_like_original=False)


def frame_group(frame, rescale):
    group, place, turn, scale = Dataset(), Dataset(), Dataset(), Dataset()
    place.ImagePositionPatient = frame.ImagePositionPatient
    turn.ImageOrientationPatient = frame.ImageOrientationPatient
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = *rescale, "HU"
    group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [turn]
    group.PixelValueTransformationSequence = [scale]
    return group


def test_frames_of_an_enhanced_ct_are_sorted_by_place(tmp_path, write_series, small_hu):
    slices = write_series(tmp_path / "single")
    shuffled = [slices[number] for number in (4, 0, 8, 2, 6, 1, 7, 3, 5)]
    enhanced_file(tmp_path / "enhanced.dcm", shuffled, [(1.0, -1024.0)] * 9)
    volume, single = read_volume(tmp_path / "enhanced.dcm"), read_volume(tmp_path / "single")
    np.testing.assert_array_equal(volume.hu, small_hu)
    np.testing.assert_allclose(volume.affine, single.affine, atol=1e-9)


def test_each_frame_has_its_own_rescale(tmp_path, write_series, small_hu):
    slices = write_series(tmp_path / "single")
    enhanced_file(tmp_path / "enhanced.dcm", slices, [(1.0, -1024.0)] * 8 + [(0.5, -1000.0)])
    expected = small_hu.copy()
    expected[:, :, 8] = np.rint((small_hu[:, :, 8] + 1024.0) * 0.5 - 1000.0)
    np.testing.assert_array_equal(read_volume(tmp_path / "enhanced.dcm").hu, expected)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.75, 0.95])
def test_a_truncated_slice_is_named(tmp_path, write_series, share):
    paths = write_series(tmp_path / "cut")
    whole = paths[3].read_bytes()
    paths[3].write_bytes(whole[: int(len(whole) * share)])
    message = error_of(tmp_path / "cut")
    assert paths[3].name in message
    assert "damaged or truncated" in message
    assert "\n" not in message


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("position", [None, ["nan", "0", "0"], ["1", "2"]])
def test_a_ct_slice_without_a_position_is_named(tmp_path, write_series, position):
    path = write_series(tmp_path / "lost")[0]
    dataset = pydicom.dcmread(path)
    dataset.ImagePositionPatient = position
    dataset.save_as(path)
    assert path.name in error_of(tmp_path / "lost")


def test_a_single_slice_is_refused(tmp_path, write_series, small_hu):
    path = write_series(tmp_path / "single", small_hu[:, :, :1])[0]
    assert "1 slice;" in error_of(path)


def test_folders_without_a_series_are_refused_with_the_reason(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "'empty' holds 0 files, none of them DICOM" in error_of(tmp_path / "empty")
    (tmp_path / "words").mkdir()
    write_structured_report(tmp_path / "words" / "report.dcm")
    assert "'words' holds no DICOM slices" in error_of(tmp_path / "words")


def test_a_damaged_orientation_is_refused_with_its_value(tmp_path, write_series):
    write_series(tmp_path / "skew", orientation=(1, 0, 0, 1, 0, 0))
    assert "[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]" in error_of(tmp_path / "skew")


def test_the_real_chest_slab_lies_where_simpleitk_puts_it(tmp_path, shared_data):
    with tarfile.open(shared_data / "dicom" / "lung113_slab30.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    volume = assert_same_as_simpleitk(tmp_path / "lung113_slab30")
    assert volume.shape_ijk == (512, 512, 30)
    assert volume.warnings == ()


def test_a_segmentation_beside_the_real_slices_is_ignored(tmp_path, shared_data):
    with tarfile.open(shared_data / "dicom" / "dcmqi_3slice_with_seg.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    volume = read_volume(tmp_path / "dcmqi_3slice")
    assert volume.shape_ijk == (512, 512, 3)
    assert volume.warnings == ()
    assert "holds no DICOM slices" in error_of(tmp_path / "dcmqi_3slice" / "liver.dcm")
