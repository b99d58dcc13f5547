"""The listing of a folder and the reader agree about every entry whether it is a scan."""

from __future__ import annotations

import gzip
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from label_tasks.datastores import holds_dicom
from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.scan_kinds import ScanKind, judge, list_scans, only_scan
from medvlsam2.errors import UnreadableVolume


@pytest.fixture
def nifti(tmp_path, small_hu):
    """One NIfTI scan outside the folder under test."""
    path = tmp_path / "source.nii.gz"
    nib.save(nib.Nifti1Image(small_hu, np.diag([-1.0, -1, 2, 1])), path)
    return path


def image(path, hu):
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(hu.T)), str(path))


def reasons(listing):
    return {item.name: item.reason for item in listing.left_out}


def ids(listing):
    return {scan.image_id: scan.path.name for scan in listing.scans}


def add_foreign_files(folder):
    """Add the files that macOS, an archive and a person put beside slices."""
    for path in sorted(folder.glob("*.dcm")):
        (folder / f"._{path.name}").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        " + bytes(100))
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(200))
    (folder / "AAA_readme.txt").write_text("exported for you", encoding="utf-8")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    shutil.copy(pydicom.data.get_testdata_file("DICOMDIR"), folder / "DICOMDIR")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "IM1.dcm").write_bytes(bytes(90))


@pytest.mark.parametrize("below", ["", "SE001", "DICOM/ST0/SE0"])
def test_a_series_among_foreign_files_is_listed_and_read(tmp_path, write_series, small_hu, below):
    write_series(tmp_path / "studies" / "patient" / below)
    add_foreign_files(tmp_path / "studies" / "patient" / below)
    listing = list_scans(tmp_path / "studies")
    assert ids(listing) == {"patient": "patient"}
    assert listing.left_out == ()
    assert listing.scans[0].kind is ScanKind.DICOM
    assert holds_dicom(listing.scans[0].path)
    np.testing.assert_array_equal(read_volume(listing.scans[0].path).hu, small_hu)


@pytest.mark.parametrize("name", ["A.NII.GZ", "A.nrrd", "A.nhdr", "A.mhd", "A.MHA", "A.Nii"])
def test_every_format_is_listed_in_any_case_with_its_data_file(tmp_path, small_hu, nifti, name):
    folder = tmp_path / "studies"
    folder.mkdir()
    if "nii" in name.lower():
        content = nifti.read_bytes()
        (folder / name).write_bytes(content if name.lower().endswith(".gz") else gzip.decompress(content))
    else:
        image(folder / name.lower(), small_hu)
        (folder / name.lower()).rename(folder / name)
    listing = list_scans(folder)
    assert ids(listing) == {"A": name}
    assert listing.left_out == ()
    assert sorted(listing.scans[0].files) == sorted(path.name for path in folder.iterdir())
    np.testing.assert_array_equal(read_volume(listing.scans[0].path).hu, small_hu)


def test_files_that_are_no_scan_are_left_out_with_the_reason(tmp_path, small_hu, write_series, nifti):
    folder = tmp_path / "studies"
    folder.mkdir()
    contents = {
        "empty.nii.gz": b"",
        "lfs.nii.gz": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "page.nii.gz": b"<!DOCTYPE html><html>404</html>",
        "archive.zip": b"PK\x03\x04" + bytes(600),
        "notes.txt": b"a note",
        ".hidden.nii.gz": b"x",
        "page.dcm": b"<html>",
        "slice.dcm.gz": gzip.compress(bytes(900)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    image(folder / "alone.mhd", small_hu)
    (folder / "alone.raw").unlink()
    image(folder / "mask.seg.nrrd", small_hu)
    (folder / "case1").mkdir()
    shutil.copy(nifti, folder / "case1" / "image.nii.gz")
    write_series(folder / "one_slice", small_hu[:, :, :1])
    (folder / "labels").mkdir()
    listing = list_scans(folder, ignored=("labels",))
    assert listing.scans == ()
    told = reasons(listing)
    for name, words in {
        "empty.nii.gz": "0 bytes",
        "lfs.nii.gz": "Git LFS pointer",
        "page.nii.gz": "HTML",
        "archive.zip": "zip archive",
        "notes.txt": "no image format",
        "page.dcm": "HTML",
        "slice.dcm.gz": "compressed with gzip. Unpack it first",
        "alone.mhd": "'alone.raw' is not there",
        "mask.seg.nrrd": "segmentation",
        "case1": "no DICOM slices",
        "one_slice": "single DICOM slice",
    }.items():
        assert words in told.pop(name)
    assert told == {}


def test_loose_slices_are_one_image_per_series(tmp_path, write_series, small_hu):
    folder = tmp_path / "studies"
    first, second = write_series(folder), write_series(folder, small_hu[:, :, ::-1])
    for number, path in enumerate(first):
        path.rename(folder / f"IM{number}")
    listing = list_scans(folder)
    assert ids(listing) == {"IM0": "IM0", min(second).stem: min(second).name}
    assert listing.left_out == ()
    for scan in listing.scans:
        assert len(scan.files) == 9
        assert read_volume(scan.path).shape_ijk == small_hu.shape


def test_an_image_id_belongs_to_one_entry(tmp_path, small_hu, nifti):
    folder = tmp_path / "studies"
    folder.mkdir()
    shutil.copy(nifti, folder / "x.nii.gz")
    image(folder / "x.mha", small_hu)
    listing = list_scans(folder)
    assert ids(listing) == {"x": "x.mha"}
    assert "same image id 'x' as 'x.mha'" in reasons(listing)["x.nii.gz"]
    known = list_scans(folder, registered={"x": "x.nii.gz"})
    assert ids(known) == {"x": "x.nii.gz"}
    assert "same image id" in reasons(known)["x.mha"]


@pytest.mark.parametrize("name", ["scan.mhd", "scan.nhdr", "SCAN.NII.GZ"])
def test_the_one_scan_of_an_upload_is_found_and_read(tmp_path, small_hu, nifti, name):
    folder = tmp_path / "session"
    (folder / "export").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / f"._{name}").write_bytes(b"\0\5\26\7")
    (folder / "readme.txt").write_text("hello", encoding="utf-8")
    if name.endswith(".GZ"):
        shutil.copy(nifti, folder / "export" / name)
    else:
        image(folder / "export" / name, small_hu)
    assert only_scan(folder) == folder / "export" / name
    np.testing.assert_array_equal(read_volume(folder).hu, small_hu)


def test_an_upload_of_slices_is_its_folder(tmp_path, write_series, small_hu):
    write_series(tmp_path / "session" / "CT")
    add_foreign_files(tmp_path / "session" / "CT")
    assert only_scan(tmp_path / "session") == tmp_path / "session"
    np.testing.assert_array_equal(read_volume(tmp_path / "session").hu, small_hu)


def test_dicom_objects_beside_the_scan_of_an_upload_are_ignored(tmp_path, small_hu, nifti):
    folder = tmp_path / "session"
    folder.mkdir()
    shutil.copy(pydicom.data.get_testdata_file("reportsi.dcm"), folder / "report.dcm")
    shutil.copy(nifti, folder / "scan.nii.gz")
    np.testing.assert_array_equal(read_volume(folder).hu, small_hu)


def test_two_scans_or_none_in_an_upload_are_refused_by_name(tmp_path, small_hu, nifti):
    folder = tmp_path / "session"
    folder.mkdir()
    (folder / "notes.txt").write_text("a note", encoding="utf-8")
    with pytest.raises(UnreadableVolume, match=r"holds 1 files, none of them DICOM .*'notes.txt' is of no image"):
        only_scan(folder)
    shutil.copy(nifti, folder / "a.nii.gz")
    image(folder / "b.mha", small_hu)
    with pytest.raises(UnreadableVolume, match=r"holds 2 scans \('a.nii.gz', 'b.mha'\); one is allowed"):
        only_scan(folder)


def test_objects_without_slices_are_no_scan(tmp_path):
    path = tmp_path / "report.dcm"
    shutil.copy(pydicom.data.get_testdata_file("reportsi.dcm"), path)
    assert "without slices" in judge(path).reason
    assert "not there" in judge(tmp_path / "gone.nii").reason
    assert "hidden" in judge(tmp_path / "._a.nii").reason


@pytest.mark.parametrize(("name", "what"), [("a.nii", "DICOM"), ("b.nrrd", "NIfTI"), ("c.nii.gz", "NRRD")])
def test_a_scan_with_the_suffix_of_another_format_is_left_out_with_what_it_is(
    tmp_path, nifti, write_series, name, what
):
    """The file is left out of the list, so that it is not refused later."""
    folder = tmp_path / "studies"
    folder.mkdir()
    if what == "DICOM":
        shutil.copy(write_series(tmp_path / "series")[0], folder / name)
    elif what == "NIfTI":
        (folder / name).write_bytes(gzip.decompress(nifti.read_bytes()))
    else:
        image(tmp_path / "source.nrrd", read_volume(nifti).hu)
        shutil.copy(tmp_path / "source.nrrd", folder / name)
    listing = list_scans(folder)
    assert listing.scans == ()
    assert f"is a {what} file by its content. Rename it" in reasons(listing)[name]
    with pytest.raises(UnreadableVolume, match=f"is a {what} file by its content. Rename it"):
        read_volume(folder / name)
