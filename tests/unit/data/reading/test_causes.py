"""A file whose content does not match its name is read if possible, else refused with what its content is."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume


@pytest.fixture
def nifti(small_hu):
    """The bytes of a NIfTI file that is not compressed."""
    return nib.Nifti1Image(small_hu, np.diag([-1.0, -1, 2, 1])).to_bytes()


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("scan.nii", content)
    return buffer.getvalue()


def tarred(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("scan.nii")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def error_of(path):
    with pytest.raises(UnreadableVolume) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"'{path.name}' ")
    return message


def test_the_content_decides_whether_a_nifti_is_compressed(tmp_path, small_hu, nifti):
    (tmp_path / "plain.nii.gz").write_bytes(nifti)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(nifti))
    (tmp_path / "two_members.nii.gz").write_bytes(gzip.compress(nifti[:700]) + gzip.compress(nifti[700:]))
    (tmp_path / "bytes_after.nii.gz").write_bytes(gzip.compress(nifti) + b"signature of a scanner")
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_volume(path).hu, small_hu)


CONTENTS = {
    "lfs.nii.gz": (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
    "annex.nii.gz": (lambda _: b"/annex/objects/MD5E-s1--0.nii.gz\n", "git-annex pointer"),
    "page.nii.gz": (lambda _: b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML"),
    "login.nrrd": (lambda _: b"\n  <HTML><head>Log in</head></HTML>", "HTML"),
    "reply.nii.gz": (lambda _: b'{"detail": "Not authenticated"}', "JSON"),
    "zip.nii.gz": (zipped, "zip archive. Unpack it"),
    "zip.mha": (zipped, "zip archive. Unpack it"),
    "tar.nii": (tarred, "tar archive. Unpack it"),
    "tar.nii.gz": (lambda content: gzip.compress(tarred(content)), "holds, compressed, what is a tar archive"),
    "twice.nii.gz": (lambda content: gzip.compress(gzip.compress(content)), "compressed twice"),
    "bzip2.nii.gz": (bz2.compress, "compressed with bzip2"),
    "empty.nii.gz": (lambda _: b"", "empty (0 bytes)"),
    "packed_nothing.nii.gz": (lambda _: gzip.compress(b""), "damaged or truncated"),
    "zeros.nii": (lambda content: bytes(len(content)), "starts with zeros alone"),
    "picture.nrrd": (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(600), "PNG picture"),
    "minc.nii": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 or MINC"),
    "nrrd.nii.gz": (lambda _: b"NRRD0004\ntype: short\n", "a NRRD file by its content. Rename it to end in .nrrd"),
    "nifti.nrrd": (lambda content: content, "a NIfTI file by its content. Rename it to end in .nii"),
    "dicom.nii": (lambda _: bytes(128) + b"DICM" + bytes(600), "a DICOM file by its content"),
    "noise.nii": (lambda _: b"\x07" * 900, "is not a NIfTI file though its name says so"),
    "noise.nrrd": (lambda _: b"\x07" * 900, "is not a NRRD file though its name says so"),
    "noise.mha": (lambda _: b"\x07" * 900, "is not a MetaImage file though its name says so"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_a_file_is_instead_is_named(tmp_path, nifti, name):
    make, said = CONTENTS[name]
    (tmp_path / name).write_bytes(make(nifti))
    message = error_of(tmp_path / name)
    assert said in message
    damaged = said.startswith(("damaged", "empty"))
    assert ("damaged or truncated" in message) == damaged


def test_a_stream_whose_check_sum_is_wrong_is_damaged(tmp_path, nifti):
    packed = bytearray(gzip.compress(nifti))
    packed[-8] ^= 1
    (tmp_path / "scan.nii.gz").write_bytes(packed)
    assert "damaged or truncated and cannot be read (CRC check failed" in error_of(tmp_path / "scan.nii.gz")


def test_the_header_of_a_nifti_pair_is_refused_with_the_reason(tmp_path, nifti):
    (tmp_path / "pair.nii").write_bytes(nifti[:344] + b"ni1\0" + nifti[348:])
    assert "header of a NIfTI pair" in error_of(tmp_path / "pair.nii")


@pytest.mark.parametrize(
    ("name", "part"), [("alone.mhd", "alone.raw"), ("alone.nhdr", "alone.raw"), ("z.mhd", "z.zraw")]
)
def test_a_header_without_its_data_file_is_refused_with_the_name_of_the_data_file(tmp_path, small_hu, name, part):
    image = sitk.GetImageFromArray(np.ascontiguousarray(small_hu.T))
    sitk.WriteImage(image, str(tmp_path / name), useCompression=name.startswith("z"))
    (tmp_path / part).unlink()
    assert f"'{part}' is not there. Copy it beside the header" in error_of(tmp_path / name)


def test_text_that_is_no_utf8_and_new_lines_in_values_are_read(tmp_path, small_hu):
    header = (
        b"NRRD0004\r\n# comment\r\ntype: int16\r\ndimension: 3\r\nsizes: 5 7 9\r\nspace: LPS\r\n"
        b"space directions: ( 1 , 0 , 0 ) (0, 1, 0) (0,0,3)\r\nendian: little\r\nencoding: raw\r\n"
        b"Segment0_Name:=Leber \xff\\nlinks\r\n\r\n"
    )
    (tmp_path / "scan.nrrd").write_bytes(header + small_hu.tobytes(order="F"))
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nrrd").hu, small_hu)
