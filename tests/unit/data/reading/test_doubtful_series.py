"""DICOM series whose headers contradict each other are refused or give a warning; no slice is dropped silently."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage
from tests.unit.conftest import ct_slice

from medvlsam2.data.labels.scan_geometry import read_geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume


def changed(paths, change):
    """Change the data set of each file with ``change(dataset, number)``."""
    for number, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        change(dataset, number)
        pydicom.dcmwrite(path, dataset)
    return paths[0].parent


def refusal(path):
    """Return the error text for a path, after a check that reading the geometry alone gives the same text."""
    with pytest.raises(UnreadableVolume) as error:
        read_volume(path)
    with pytest.raises(UnreadableVolume) as of_geometry:
        read_geometry(path, "scan")
    assert str(of_geometry.value) == str(error.value)
    return str(error.value)


@pytest.mark.parametrize("spacing", [[-0.9, 0.7], [0.9, -0.7], [-0.9, -0.7], [0, 0.7], [0.9, 0]])
def test_a_pixel_spacing_that_would_mirror_or_flatten_is_refused(tmp_path, write_series, spacing):
    folder = changed(write_series(tmp_path / "ct"), lambda slice_, _: setattr(slice_, "PixelSpacing", spacing))
    assert f"its pixel spacing is {spacing[0]:g} x {spacing[1]:g} mm" in refusal(folder)


def test_a_pixel_spacing_of_one_number_is_refused(tmp_path, write_series):
    folder = changed(write_series(tmp_path / "ct"), lambda slice_, _: setattr(slice_, "PixelSpacing", 0.7))
    assert "its slice position, orientation or pixel spacing is absent" in refusal(folder)


@pytest.mark.parametrize("without", [{4}, {0, 2, 4, 6, 8}])
def test_a_series_of_which_some_slices_have_no_intercept_is_refused(tmp_path, write_series, without):
    def lose(slice_, number):
        if number in without:
            del slice_.RescaleIntercept

    told = refusal(changed(write_series(tmp_path / "ct"), lose))
    assert f"{len(without)} of 9 slices hold no rescale intercept" in told


@pytest.mark.parametrize("unit", ["HU", "US", "HU_MOD", "", "MGML", "Z_EFF", "ED"])
@pytest.mark.parametrize("enhanced", [False, True])
def test_values_in_another_unit_than_hu_give_a_warning(tmp_path, write_series, small_hu, unit, enhanced):
    """Iodine, electron density and effective atomic number of a dual-energy CT look like CT."""
    if enhanced:
        path = write_enhanced(tmp_path / "ct.dcm", small_hu, unit=unit)
    else:
        path = changed(write_series(tmp_path / "ct"), lambda slice_, _: setattr(slice_, "RescaleType", unit))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, small_hu)
    told = [warning for warning in volume.warnings if "not HU: results may be wrong" in warning]
    assert len(told) == (unit in ("MGML", "Z_EFF", "ED"))


def write_enhanced(path, hu, *, unit="HU", unplaced=(), frames=None):
    """Write one multi-frame file with a frame for each slice; the frames in ``unplaced`` have no position."""
    planes = [hu[:, :, k].T.astype(np.int16) + 1024 for k in range(hu.shape[2])]
    dataset = ct_slice(np.stack(planes)[0], "1.2.3.4")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.Modality, dataset.NumberOfFrames = "CT", frames or len(planes)
    dataset.PixelData = np.stack(planes).tobytes()
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = dataset.PixelSpacing
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([frame(k, unit, k not in unplaced) for k in range(len(planes))])
    del dataset.PixelSpacing
    pydicom.dcmwrite(path, dataset, write_like_original=False)
    return path


def frame(number, unit, placed):
    group, place, transform = Dataset(), Dataset(), Dataset()
    place.ImagePositionPatient = [-10, -20, 30 + 2.5 * number]
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 1, -1024, unit
    group.PixelValueTransformationSequence = Sequence([transform])
    if placed:
        group.PlanePositionSequence = Sequence([place])
    return group


@pytest.mark.parametrize("unplaced", [(8,), (0,), (0, 8), (4,)])
def test_a_frame_without_a_position_is_refused(tmp_path, small_hu, unplaced):
    path = write_enhanced(tmp_path / "ct.dcm", small_hu, unplaced=unplaced)
    assert f"it holds 9 frames, but only {9 - len(unplaced)} of them have a position" in refusal(path)


def test_more_frames_than_positions_are_refused(tmp_path, small_hu):
    assert "it holds 12 frames, but only 9 of" in refusal(write_enhanced(tmp_path / "ct.dcm", small_hu, frames=12))


def test_slices_of_two_frames_with_one_position_are_refused(tmp_path, write_series):
    def double(slice_, _):
        slice_.NumberOfFrames, slice_.PixelData = 2, slice_.PixelData * 2

    assert "it holds 2 frames, but only 1 of them have a position" in refusal(
        changed(write_series(tmp_path / "ct"), double)
    )


@pytest.mark.parametrize(
    ("field", "value"), [("PixelSpacing", [0.95, 0.7]), ("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0])]
)
def test_a_gap_names_the_slices_of_the_series_that_do_not_fit(tmp_path, write_series, field, value):
    def turn(slice_, number):
        if number == 3:
            setattr(slice_, field, value)

    paths = write_series(tmp_path / "ct")
    told = refusal(changed(paths, turn))
    assert "have another size, orientation or pixel spacing: 1, e.g." in told
    assert paths[3].name in told
