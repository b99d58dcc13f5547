"""Headers that crashed ITK, or made it read another file, are refused with a sentence and do not end the process."""

from __future__ import annotations

import bz2
import gzip
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from medvlsam2 import geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 1 3",
    "DimSize": "5 7 9",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "LPS",
    "sizes": "5 7 9",
    "space directions": "(1,0,0) (0,1,0) (0,0,3)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(0,0,0)",
}


def meta_header(**fields):
    """Write a MetaImage header that ends with its data file field; a field with the value None is omitted."""
    merged = {**META, **fields}
    merged["ElementDataFile"] = merged.pop("ElementDataFile")
    return "".join(f"{key} = {value}\n" for key, value in merged.items() if value is not None).encode()


def nrrd_header(fields=None):
    lines = {**NRRD, **(fields or {})}
    return ("NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)).encode()


def error_of(path):
    with pytest.raises(UnreadableVolume) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"NDims": "99"}, "NDims 99"),
        ({"NDims": "0"}, "NDims 0"),
        ({"NDims": "-3"}, "NDims -3"),
        ({"NDims": "4"}, "DimSize 5 7 9"),
        ({"NDims": "3 3"}, "invalid literal"),
        ({"DimSize": "5 7 -9"}, "DimSize 5 7 -9"),
        ({"DimSize": "65535 65535 65535"}, "are allowed"),
        ({"DimSize": "1000 1000 900"}, "damaged or truncated"),
        ({"DimSize": "nine"}, "invalid literal"),
        ({"ElementSpacing": "1 1"}, "3 numbers are needed"),
        ({"ElementSpacing": "0 0 0"}, "affine"),
        ({"ElementSpacing": "nan 1 1"}, "affine with the number nan"),
        ({"Offset": "0 0 inf"}, "affine with the number inf"),
        ({"TransformMatrix": "1 0 0"}, "9 numbers are needed"),
        ({"ElementType": "MET_STRING"}, "'MET_STRING'"),
        ({"ElementNumberOfChannels": "3"}, "3 values per voxel"),
        ({"HeaderSize": "99999999"}, "damaged or truncated"),
        ({"ElementDataFile": None}, "ends before ElementDataFile"),
    ],
)
def test_metaimage_headers_are_checked(tmp_path, small_hu, fields, said):
    (tmp_path / "scan.mha").write_bytes(meta_header(**fields) + small_hu.tobytes(order="F"))
    assert said in error_of(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dimension": "16", "sizes": "2 " * 16}, "16-D"),
        ({"dimension": "17", "sizes": "2 " * 17}, "dimension 17"),
        ({"dimension": "-1"}, "dimension -1"),
        ({"dimension": "3", "sizes": "5 7"}, "sizes 5 7"),
        ({"sizes": "5 0 9"}, "sizes 5 0 9"),
        ({"sizes": "99999 99999 99999"}, "are allowed"),
        ({"type": "block"}, "'block'"),
        ({"encoding": "zstd"}, "'zstd'"),
        ({"endian": None}, "byte order"),
        ({"space directions": "(1,0,0) (0,1,0)"}, "damaged"),
        ({"space directions": "(1,0,0) (0,1,0) none"}, "9 values per voxel"),
        ({"space directions": "(1,0) (0,1) (0,0)"}, "damaged"),
        ({"space directions": "(0,0,0) (0,1,0) (0,0,1)"}, "affine"),
        ({"space directions": "(1,0,0) (0,1,0) (0,0,1e300)"}, "affine with the number 1e+300"),
        ({"space origin": "(0,0,nan)"}, "affine with the number nan"),
        ({"dimension": None}, "damaged"),
        ({"kinds": "vector domain domain"}, "5 values per voxel"),
        ({"byte skip": "99999"}, "damaged"),
        ({"line skip": "x"}, "invalid literal"),
    ],
)
def test_nrrd_headers_are_checked(tmp_path, small_hu, fields, said):
    (tmp_path / "scan.nrrd").write_bytes(nrrd_header(fields) + b"\n" + small_hu.tobytes(order="F"))
    assert said in error_of(tmp_path / "scan.nrrd")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../secret.raw", "sub/../../secret.raw", "C:\\secret.raw", "..\\secret.raw", "\\\\host\\x.raw",
     "/etc/pass%d 1 5 1", "../s%d.raw 1 5 1"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_data_files_outside_the_folder_are_not_read(tmp_path, small_hu, name, suffix):
    (tmp_path / "secret.raw").write_bytes(small_hu.tobytes(order="F"))
    folder = tmp_path / "upload"
    (folder / "sub").mkdir(parents=True)
    header = meta_header(ElementDataFile=name) if suffix == ".mhd" else nrrd_header({"data file": name})
    (folder / f"scan{suffix}").write_bytes(header)
    assert "only a file beside the header is allowed" in error_of(folder / f"scan{suffix}")


def test_listed_data_files_outside_the_folder_are_not_read(tmp_path, small_hu):
    (tmp_path / "scan.nhdr").write_bytes(nrrd_header({"data file": "LIST"}) + b"/etc/passwd\n/etc/group\n")
    assert "only a file beside" in error_of(tmp_path / "scan.nhdr")
    (tmp_path / "scan.mhd").write_bytes(meta_header(ElementDataFile="LIST") + b"/etc/passwd\n")
    assert "only a file beside" in error_of(tmp_path / "scan.mhd")
    (tmp_path / "many.mhd").write_bytes(meta_header(ElementDataFile="x%d.raw 1 99999999 1"))
    assert "from 1 to 99999999" in error_of(tmp_path / "many.mhd")


@pytest.mark.parametrize("name", ["Coronary 0.75 77 %.raw", "with spaces.raw", "100%d.raw", "sub/scan.raw"])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_unusual_names_of_data_files_are_accepted(tmp_path, small_hu, name, suffix):
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_bytes(small_hu.tobytes(order="F"))
    header = meta_header(ElementDataFile=name) if suffix == ".mhd" else nrrd_header({"data file": name})
    (tmp_path / f"scan{suffix}").write_bytes(header)
    np.testing.assert_array_equal(read_volume(tmp_path / f"scan{suffix}").hu, small_hu)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize("named", ["LIST", "slice%02d.raw 1 9 1"])
def test_one_data_file_per_slice_is_read_in_order(tmp_path, small_hu, suffix, named):
    names = [f"slice{number:02d}.raw" for number in range(1, 10)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(small_hu[:, :, number].tobytes(order="F"))
    header = meta_header(ElementDataFile=named) if suffix == ".mhd" else nrrd_header({"data file": named})
    listed = "\n".join(names).encode() if named == "LIST" else b""
    (tmp_path / f"scan{suffix}").write_bytes(header + listed)
    np.testing.assert_array_equal(read_volume(tmp_path / f"scan{suffix}").hu, small_hu)
    (tmp_path / names[4]).unlink()
    assert f"'{names[4]}' is not there" in error_of(tmp_path / f"scan{suffix}")


ENCODERS = {
    "raw": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "hex": lambda content: content.hex().encode(),
    "ascii": lambda content: " ".join(map(str, np.frombuffer(content, "<i2"))).encode(),
}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_encoding_of_a_nrrd_is_read(tmp_path, small_hu, encoding):
    content = ENCODERS[encoding](small_hu.tobytes(order="F"))
    (tmp_path / "scan.nrrd").write_bytes(nrrd_header({"encoding": encoding}) + b"\n" + content)
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nrrd").hu, small_hu)
    (tmp_path / "scan.nrrd").write_bytes(nrrd_header({"encoding": encoding}) + b"\n" + content[: len(content) // 2])
    assert "damaged or truncated" in error_of(tmp_path / "scan.nrrd")


NUMBERS = st.one_of(
    st.integers(-3, 40).map(str),
    st.sampled_from(["", "nan", "inf", "1e300", "-0", "2147483648", "9" * 30, "x", "%s%n", "\0", "∞", "1,2"]),
)
VALUES = st.lists(NUMBERS, max_size=12).map(" ".join)


def is_read_or_refused(path, content):
    """Read a file and check that the result is a volume or one of this package's errors in one line."""
    path.write_bytes(content)
    try:
        message = repr(read_volume(path))
    except UnreadableVolume as error:
        message = str(error)
    assert "\n" not in message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*META, "HeaderSize", "CompressedData", "ElementSize"]), VALUES, max_size=3))
@example({"NDims": "99"})
@example({"ElementDataFile": "x%03d.raw 1 8"})
def test_any_metaimage_header_is_read_or_refused(tmp_path, small_hu, fields):
    is_read_or_refused(tmp_path / "scan.mha", meta_header(**fields) + small_hu.tobytes(order="F"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            [*NRRD, "kinds", "spacings", "axis mins", "byte skip", "line skip", "space units", "data file"]
        ),
        st.one_of(VALUES, st.sampled_from(["none none none", "(1,0", "LIST", "x%d 1 3", '"um" "um', "gzip", "hex"])),
        max_size=3,
    )
)
@example({"dimension": "16", "sizes": "2 " * 16})
def test_any_nrrd_header_is_read_or_refused(tmp_path, small_hu, fields):
    is_read_or_refused(tmp_path / "scan.nrrd", nrrd_header(fields) + b"\n" + small_hu.tobytes(order="F"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 351), st.binary(min_size=1, max_size=8))
def test_any_nifti_header_is_read_or_refused(tmp_path, small_hu, place, content):
    image = nib.Nifti1Image(small_hu, np.diag([-1.0, -1, 2, 1]))
    header = bytearray(image.header.binaryblock + bytes(4))
    header[place : place + len(content)] = content
    is_read_or_refused(tmp_path / "scan.nii", bytes(header[:352]) + small_hu.tobytes(order="F"))


TRIPLE = st.tuples(*[st.floats(-3, 3, width=32)] * 3)
DTYPES = ["int16", "uint16", "int8", "uint8", "int32", "float32", "float64", "int64"]
KINDS = st.tuples(st.sampled_from([".nrrd", ".nhdr", ".mha", ".mhd"]), st.booleans(), st.sampled_from(DTYPES))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KINDS, TRIPLE, TRIPLE, TRIPLE)
def test_voxels_and_affine_are_those_of_itk(tmp_path, kind, angles, sizes, place):
    suffix, packed, dtype = kind
    values = np.random.default_rng(0).integers(0, 100, (9, 7, 5)).astype(dtype)
    image = sitk.GetImageFromArray(values)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing([3.1 + size for size in sizes])
    image.SetOrigin([round(999 * number, 3) for number in place])
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(image, str(path), useCompression=packed)
    reference = sitk.ReadImage(str(path))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, values.T)
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = np.array(reference.GetDirection()).reshape(3, 3) * reference.GetSpacing()
    affine_lps[:3, 3] = reference.GetOrigin()
    np.testing.assert_array_equal(volume.affine, geometry.ras_to_lps_affine(affine_lps))


def test_a_stream_longer_than_its_header_says_is_refused(tmp_path, small_hu):
    image = nib.Nifti1Image(small_hu, np.diag([-1.0, -1, 2, 1]))
    nifti = image.header
    nifti["magic"], nifti["vox_offset"] = b"n+1", 352
    content = nifti.binaryblock + bytes(4) + small_hu.tobytes(order="F") + bytes(90_000)
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content))
    assert "more voxels than its header says (315)" in error_of(tmp_path / "scan.nii.gz")
    more = small_hu.tobytes(order="F") + bytes(2)
    (tmp_path / "scan.nrrd").write_bytes(nrrd_header({"encoding": "gzip"}) + b"\n" + gzip.compress(more))
    assert "more voxels" in error_of(tmp_path / "scan.nrrd")
    (tmp_path / "scan.mha").write_bytes(meta_header(CompressedData="True") + zlib.compress(more))
    assert "more voxels" in error_of(tmp_path / "scan.mha")
