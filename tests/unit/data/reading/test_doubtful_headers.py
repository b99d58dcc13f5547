"""Headers that programs interpret in different ways are refused or give a warning; no voxel moves to another place."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.data.readers import read_volume
from medvlsam2.errors import UnreadableVolume

AFFINE = np.array([[-4.0, 0, 0, 30], [0, -4.0, 0, 20], [0, 0, 5.0, -50], [0, 0, 0, 1]])
UNKNOWN_SIDES = "left/right is not known"
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "LPS",
    "sizes": "5 7 9",
    "space directions": "(4,0,0) (0,4,0) (0,0,5)",
    "space origin": "(-30,-20,-50)",
    "endian": "little",
    "encoding": "raw",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-30 -20 -50",
    "ElementSpacing": "4 4 5",
    "DimSize": "5 7 9",
    "ElementType": "MET_SHORT",
}


@pytest.fixture
def planes(small_hu):
    """The stored voxels of each slice."""
    return [small_hu[:, :, k].tobytes(order="F") for k in range(9)]


def nrrd(path, data_file="", voxels=b"", **fields):
    """Write a NRRD header whose data file field comes last, as ``LIST`` requires."""
    said = NRRD | {name.replace("_", " "): text for name, text in fields.items()}
    lines = [f"{name}: {text}" for name, text in said.items()] + [data_file] * bool(data_file)
    path.write_bytes("\n".join(["NRRD0004", *lines, ""]).encode() + b"\n" * (not data_file) + voxels)
    return path


def meta(path, data_file="LOCAL", voxels=b"", **fields):
    lines = [f"{name} = {text}" for name, text in (META | fields | {"ElementDataFile": data_file}).items()]
    path.write_bytes(("\n".join(lines) + "\n").encode() + voxels)
    return path


def nifti(path, hu, *, codes=(1, 1), **fields):
    """Written field by field, so that nibabel makes nothing consistent."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(hu.shape)
    header.set_qform(AFFINE, 1)
    header.set_sform(AFFINE, 1)
    header["xyzt_units"], header["magic"], header["vox_offset"] = 2, b"n+1", 352
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["sform_code"], header["qform_code"] = codes
    for name, value in fields.items():
        if name == "sizes":
            header["pixdim"][1:4] = value
        elif name == "qfac":
            header["pixdim"][0] = value
        else:
            header[name] = value
    path.write_bytes(header.binaryblock + bytes(4) + hu.tobytes(order="F"))
    return path


def write_parts(folder, contents):
    names = [f"s{number:02d}.raw" for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    return names


def is_right(path, hu):
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, hu)
    np.testing.assert_allclose(volume.affine, AFFINE)
    return True


@pytest.mark.parametrize("count", [3, 4, 8, 10])
@pytest.mark.parametrize("how", ["LIST", "pattern", "MetaImage LIST", "MetaImage pattern"])
def test_data_files_that_are_not_one_per_slice_are_refused(tmp_path, planes, count, how):
    """Each file holds enough bytes, so without the check voxels would move to other slices without a message."""
    names = write_parts(tmp_path, [planes[number % 9] * 4 for number in range(count)])
    pattern = f"s%02d.raw 0 {count - 1} 1"
    if how == "LIST":
        path = nrrd(tmp_path / "scan.nhdr", "\n".join(["data file: LIST", *names]))
    elif how == "pattern":
        path = nrrd(tmp_path / "scan.nhdr", f"data file: {pattern}")
    elif how == "MetaImage LIST":
        path = meta(tmp_path / "scan.mhd", "\n".join(["LIST", *names]))
    else:
        path = meta(tmp_path / "scan.mhd", pattern)
    with pytest.raises(UnreadableVolume, match=f"names {count} data files for 5 x 7 x 9 voxels; 9 are needed"):
        read_volume(path)


def test_data_files_of_slices_and_of_slabs_are_read(tmp_path, small_hu, planes):
    names = write_parts(tmp_path, planes)
    listed = "\n".join(names)
    assert is_right(nrrd(tmp_path / "a.nhdr", f"data file: LIST\n{listed}"), small_hu)
    assert is_right(nrrd(tmp_path / "b.nhdr", f"data file: LIST 2\n{listed}"), small_hu)
    assert is_right(nrrd(tmp_path / "c.nhdr", "data file: s%02d.raw 0 8 1 2"), small_hu)
    for said in ("LIST", "LIST 2D", "list 2d", "LIST 2"):
        assert is_right(meta(tmp_path / "a.mhd", f"{said}\n{listed}"), small_hu)
    slabs = write_parts(tmp_path, [b"".join(planes[first : first + 3]) for first in (0, 3, 6)])
    assert is_right(nrrd(tmp_path / "d.nhdr", "\n".join(["data file: LIST 3", *slabs])), small_hu)


@pytest.mark.parametrize("encoding", ["text", "hex"])
def test_each_text_file_gives_its_own_slice(tmp_path, small_hu, planes, encoding):
    """A file with one number too many does not move the voxels of the files after it."""
    words = [
        plane.hex() if encoding == "hex" else " ".join(map(str, np.frombuffer(plane, np.int16))) for plane in planes
    ]
    words[3] += "4d00" if encoding == "hex" else " 77"
    names = write_parts(tmp_path, [text.encode() for text in words])
    assert is_right(nrrd(tmp_path / "a.nhdr", "\n".join(["data file: LIST", *names]), encoding=encoding), small_hu)


@pytest.mark.parametrize("name", ["listing.raw", "LIST.raw", "list of slices.raw"])
def test_a_data_file_may_be_called_a_list(tmp_path, small_hu, name):
    (tmp_path / name).write_bytes(small_hu.tobytes(order="F"))
    path = tmp_path / "scan.nhdr"
    path.write_text(
        "\n".join(["NRRD0004", f"data file: {name}", *(f"{key}: {NRRD[key]}" for key in NRRD)]), encoding="utf-8"
    )
    assert is_right(path, small_hu)
    assert is_right(meta(tmp_path / "scan.mhd", name), small_hu)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"space_directions": "(4,0,0) (0,4,0)"}, "2 space directions for 3 axes"),
        ({"space_directions": "(4,0) (0,4) (0,0)"}, "3 numbers each"),
        ({"byte_skip": "-5"}, "its byte skip -5"),
        ({"line_skip": "-1"}, "its line skip is -1"),
        ({"sizes": "5 7 9\nspace: RAS"}, "the field 'space' twice"),
        ({"encoding": "raw\nsizes: 7 5 9"}, "the field 'sizes' twice"),
    ],
)
def test_nrrd_headers_that_contradict_themselves_are_refused(tmp_path, small_hu, fields, said):
    with pytest.raises(UnreadableVolume, match=said):
        read_volume(nrrd(tmp_path / "scan.nrrd", voxels=small_hu.tobytes(order="F"), **fields))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ElementByteOrderMSB": "True"}, "say different things"),
        ({"Origin": "0 0 0"}, "offset and origin say different things"),
        ({"Position": "-30 20 -50"}, "offset and position say different things"),
        ({"Orientation": "-1 0 0 0 1 0 0 0 1"}, "transformmatrix and orientation say different things"),
        ({"HeaderSize": "10"}, "its HeaderSize is 10"),
        ({"Offset ": "1 2 3"}, "the field 'offset' twice"),
    ],
)
def test_metaimage_headers_that_contradict_themselves_are_refused(tmp_path, small_hu, fields, said):
    with pytest.raises(UnreadableVolume, match=said):
        read_volume(meta(tmp_path / "scan.mha", voxels=small_hu.tobytes(order="F"), **fields))


def test_a_field_that_occurs_twice_with_the_same_value_is_read(tmp_path, small_hu):
    voxels = small_hu.tobytes(order="F")
    assert is_right(nrrd(tmp_path / "scan.nrrd", voxels=voxels, encoding="raw\nspace: LPS"), small_hu)
    alike = {"Origin": "-30.0 -20.0 -50", "Rotation": META["TransformMatrix"], "ElementByteOrderMSB": "false"}
    assert is_right(meta(tmp_path / "scan.mha", voxels=voxels, ElementSize="3 3 4", **alike), small_hu)


def test_a_patient_space_without_directions_leaves_the_sides_unknown(tmp_path, small_hu):
    fields = {name: text for name, text in NRRD.items() if name != "space directions"} | {"spacings": "4 4 5"}
    path = tmp_path / "scan.nrrd"
    lines = "".join(f"{name}: {text}\n" for name, text in fields.items())
    path.write_bytes(f"NRRD0004\n{lines}\n".encode() + small_hu.tobytes(order="F"))
    assert any(UNKNOWN_SIDES in warning for warning in read_volume(path).warnings)


def test_directions_that_are_longer_than_1_give_a_warning(tmp_path, small_hu):
    path = meta(tmp_path / "a.mha", voxels=small_hu.tobytes(order="F"), TransformMatrix="2 0 0 0 2 0 0 0 2")
    assert any("directions of length 2 x 2 x 2" in warning for warning in read_volume(path).warnings)


def test_binary_bytes_of_a_header_do_not_reach_the_message(tmp_path):
    (tmp_path / "scan.nrrd").write_bytes(b"NRRD0004\n\x1b[31m\x00\x07 no field\n\n")
    with pytest.raises(UnreadableVolume) as error:
        read_volume(tmp_path / "scan.nrrd")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("sizes", [(-4, 4, 5), (4, 4, -5)])
def test_a_negative_voxel_size_gives_a_warning_because_itk_mirrors_the_scan(tmp_path, small_hu, codes, sizes):
    volume = read_volume(nifti(tmp_path / "scan.nii", small_hu, codes=codes, sizes=sizes))
    assert any("numbers above 0 are needed" in warning for warning in volume.warnings)
    assert any(UNKNOWN_SIDES in warning for warning in volume.warnings) == (codes == (0, 1))


@pytest.mark.parametrize("sizes", [(0, 4, 5), (np.nan, 4, 5), (np.inf, 4, 5), (0, 0, 0)])
def test_an_invalid_voxel_size_gives_a_warning_and_the_sform_is_used(tmp_path, small_hu, sizes):
    volume = read_volume(nifti(tmp_path / "scan.nii", small_hu, codes=(1, 0), sizes=sizes))
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert any("numbers above 0 are needed" in warning for warning in volume.warnings)


@pytest.mark.parametrize(("qfac", "known"), [(1, True), (0, True), (-1, True), (-3, False), (2, False)])
def test_a_qfac_that_is_neither_1_nor_minus_1_gives_a_warning(tmp_path, small_hu, qfac, known):
    volume = read_volume(nifti(tmp_path / "scan.nii", small_hu, codes=(0, 1), qfac=qfac))
    assert any(UNKNOWN_SIDES in warning for warning in volume.warnings) != known
    assert read_volume(nifti(tmp_path / "with.nii", small_hu, qfac=qfac)).affine[0, 0] == -4


def test_a_quaternion_that_is_not_finite_gives_a_warning(tmp_path, small_hu):
    volume = read_volume(nifti(tmp_path / "scan.nii", small_hu, quatern_b=np.nan))
    assert any("qform is damaged: the sform is used" in warning for warning in volume.warnings)


@pytest.mark.parametrize("codes", [(6, 1), (-1, 1), (200, 0)])
def test_an_unknown_orientation_code_gives_a_warning(tmp_path, small_hu, codes):
    volume = read_volume(nifti(tmp_path / "scan.nii", small_hu, codes=codes))
    assert any(f"sform_code is {codes[0]}, an unknown code" in warning for warning in volume.warnings)


def test_an_intercept_without_a_slope_gives_a_warning_because_itk_adds_it(tmp_path, small_hu):
    volume = read_volume(nifti(tmp_path / "scan.nii", small_hu, scl_slope=0, scl_inter=-1024))
    np.testing.assert_array_equal(volume.hu, small_hu)
    assert any("the intercept -1024 without a slope" in warning for warning in volume.warnings)
