"""The content and the position of slices decide which slices form a scan, not a preamble or an identifier alone."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import generate_uid

from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.scan_kinds import list_scans
from medvlsam2.errors import UnreadableVolume


def strip(path, *, implicit=True, drop=()):
    """Keep the data set alone, as in old archives: no preamble, no mark, no meta header."""
    dataset = pydicom.dcmread(path)
    bare = pydicom.Dataset({element.tag: element for element in dataset if element.keyword not in drop})
    bare.is_little_endian, bare.is_implicit_VR = True, implicit
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_dataset(out, bare)
    path.write_bytes(out.getvalue())


def change(paths, **fields):
    for path in paths:
        dataset = pydicom.dcmread(path)
        for name, value in fields.items():
            setattr(dataset, name, value() if callable(value) else value)
        dataset.save_as(path)


@pytest.mark.parametrize(
    ("implicit", "suffix", "drop"),
    [
        (True, ".dcm", ()),
        (True, "", ()),
        (False, "", ()),
        (False, ".dcm", ("SOPClassUID", "SOPInstanceUID")),
        (True, "", ("SOPClassUID", "SOPInstanceUID")),
        (True, "", ("FrameOfReferenceUID", "StudyInstanceUID")),
    ],
)
def test_slices_without_preamble_are_read_and_listed(tmp_path, write_series, small_hu, *, implicit, suffix, drop):
    folder = tmp_path / "studies" / "old"
    for number, path in enumerate(write_series(folder)):
        strip(path, implicit=implicit, drop=drop)
        path.rename(folder / f"IM{number}{suffix}")
    assert [scan.image_id for scan in list_scans(tmp_path / "studies").scans] == ["old"]
    np.testing.assert_array_equal(read_volume(folder).hu, small_hu)
    np.testing.assert_array_equal(read_volume(folder / f"IM4{suffix}").hu, small_hu)


def test_slices_that_share_one_identifier_are_all_kept(tmp_path, write_series, small_hu):
    change(write_series(tmp_path / "ct"), SOPInstanceUID="1.2.3.4")
    volume = read_volume(tmp_path / "ct")
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert volume.warnings == ()


def test_slices_without_an_identifier_are_all_kept(tmp_path, write_series, small_hu):
    change(write_series(tmp_path / "ct"), SOPInstanceUID="", SeriesInstanceUID="")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, small_hu)


def test_copies_without_identifiers_are_recognised_by_their_pixels(tmp_path, write_series, small_hu):
    paths = write_series(tmp_path / "ct")
    change(paths, SOPInstanceUID="1.2.3.4")
    shutil.copy(paths[2], tmp_path / "ct" / "copy.dcm")
    volume = read_volume(tmp_path / "ct")
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert volume.warnings == ("Copies of the same slice that were left out: 1.",)
    dataset = pydicom.dcmread(paths[5])
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(tmp_path / "ct" / "phase.dcm")
    with pytest.raises(UnreadableVolume, match=r"'phase\.dcm'|and 'phase\.dcm' lie at the same place"):
        read_volume(tmp_path / "ct")


def test_a_series_for_each_slice_is_refused_with_the_counts(tmp_path, write_series):
    paths = write_series(tmp_path / "ct")
    change(paths, SeriesInstanceUID=generate_uid)
    for path in (tmp_path / "ct", paths[0]):
        with pytest.raises(UnreadableVolume, match="holds 9 series with 9 slices in all"):
            read_volume(path)


def test_messages_give_no_advice_to_programmers(tmp_path, write_series):
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "page.dcm").write_text("<html>", encoding="utf-8")
    (tmp_path / "ct" / "noise.dcm").write_bytes(b"\x07" * 900)
    for path in (tmp_path / "ct", tmp_path / "ct" / "page.dcm", tmp_path / "ct" / "noise.dcm"):
        with pytest.raises(UnreadableVolume) as caught:
            read_volume(path)
        assert "force" not in str(caught.value)
        assert "no DICOM file" in str(caught.value) or "HTML" in str(caught.value)


def test_an_empty_slice_file_is_refused(tmp_path, write_series):
    paths = write_series(tmp_path / "ct")
    paths[3].write_bytes(b"")
    with pytest.raises(UnreadableVolume, match=rf"'{paths[3].name}' is damaged or truncated: it is empty"):
        read_volume(tmp_path / "ct")
