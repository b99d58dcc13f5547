"""A scan that needs more memory than allowed is refused by its header; reading takes little more than the voxels."""

from __future__ import annotations

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import psutil
import pydicom
import pytest

from label_tasks.failures import status_of
from medvlsam2.data.readers import read_label_map, read_volume
from medvlsam2.data.reading.formats import voxel_stream
from medvlsam2.data.reading.memory_budget import budget_bytes
from medvlsam2.errors import InvalidConfig, UnreadableVolume, VolumeTooLarge

MIB = 2**20


def nifti_header(shape, dtype=np.int16, offset=352):
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_sform(np.diag([-1.0, -1, 1, 1]), 1)
    header["magic"], header["vox_offset"] = b"n+1", offset
    return header.binaryblock + bytes(4)


def sparse(path, start, size_bytes):
    """Write a file of any size that takes no space on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size_bytes)
    return path


def peak_bytes(read, path):
    """Return the peak memory of numpy and Python during a call, and the call's result."""
    tracemalloc.start()
    try:
        return read(path), tracemalloc.get_traced_memory()[1]
    except UnreadableVolume as error:
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


NRRD = (
    "NRRD0004\ntype: {type}\ndimension: 3\nsizes: {sizes}\nspace: LPS\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: {encoding}\n\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = {sizes}\nElementSpacing = 1 1 1\n"
    "ElementType = MET_DOUBLE\nElementDataFile = LOCAL\n"
)


def huge_files(folder):
    """Sparse files of 8 GiB whose headers promise that size."""
    sizes = "1024 1024 1024"
    starts = {
        "scan.nii": nifti_header((1024, 1024, 1024), np.float64),
        "scan.nrrd": NRRD.format(type="double", sizes=sizes, encoding="raw").encode(),
        "scan.mha": META.format(sizes=sizes).encode(),
    }
    return [sparse(folder / name, start, len(start) + 8 * 2**30) for name, start in starts.items()]


def test_a_sparse_file_is_refused_before_memory_is_allocated(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "4096")
    for path in huge_files(tmp_path):
        error, peak = peak_bytes(read_volume, path)
        assert isinstance(error, VolumeTooLarge)
        assert "10.0 GiB of memory (1073741824 voxels of type float64); 4.0 GiB are allowed" in str(error)
        assert peak < 16 * MIB
        assert status_of(error) == 413


def test_the_budget_is_a_share_of_the_available_memory_or_the_setting(monkeypatch):
    monkeypatch.delenv("MEDVLSAM2_SCAN_MIB", raising=False)
    assert 0 < budget_bytes() < 0.6 * psutil.virtual_memory().available
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "3")
    assert budget_bytes() == 3 * MIB
    for wrong in ("0", "-1", "many", ""):
        monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", wrong)
        with pytest.raises(InvalidConfig, match=f"'{wrong}'"):
            budget_bytes()


def test_a_scan_that_just_fits_the_budget_is_read(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(-1000, 400, (64, 64, 128)).astype(np.int16)  # 1 MiB stored, 1 MiB of HU
    (tmp_path / "scan.nii").write_bytes(nifti_header(values.shape) + values.tobytes(order="F"))
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "2")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii").hu, values)
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "1")
    with pytest.raises(VolumeTooLarge, match=r"2 MiB of memory .* 1 MiB are allowed"):
        read_volume(tmp_path / "scan.nii")


def test_the_memory_of_a_series_is_computed_from_its_headers(tmp_path, write_series, small_hu, monkeypatch):
    paths = write_series(tmp_path / "ct", np.tile(small_hu, (60, 50, 1)))
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "1")
    with pytest.raises(VolumeTooLarge, match="9 slices of 300 x 350"):
        read_volume(tmp_path / "ct")
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "64")
    assert read_volume(tmp_path / "ct").shape_ijk == (300, 350, 9)
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = 60_000
        dataset.save_as(path)
    with pytest.raises(UnreadableVolume, match="are allowed"):
        read_volume(tmp_path / "ct")


def test_a_decompression_bomb_is_refused_before_it_is_decompressed(tmp_path):
    shape = (512, 512, 256)
    header = nifti_header(shape)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header + bytes(2 * 512 * 512 * 256), 1))
    assert path.stat().st_size < MIB
    error, peak = peak_bytes(read_volume, path)
    assert "a ratio of" in str(error)
    assert "at most 200 is allowed" in str(error)
    assert peak < 16 * MIB


def test_a_label_map_may_have_any_compression_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(voxel_stream, "RATIO_FROM_BYTES", 2**20)
    values = np.zeros((128, 128, 128), np.uint8)
    values[40:60, 40:60, 40:60] = 5
    content = gzip.compress(nifti_header(values.shape, np.uint8) + values.tobytes(order="F"))
    (tmp_path / "label.nii.gz").write_bytes(content)
    assert values.nbytes > 300 * len(content)
    np.testing.assert_array_equal(read_label_map(tmp_path / "label.nii.gz").values, values)
    with pytest.raises(UnreadableVolume, match="a ratio of"):
        read_volume(tmp_path / "label.nii.gz")


def test_the_bytes_before_the_voxels_have_a_limit(tmp_path):
    content = nifti_header((4, 4, 4), offset=2**30) + bytes(2**20)
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UnreadableVolume, match="start at byte 1073741824"):
        read_volume(tmp_path / "scan.nii.gz")
    (tmp_path / "scan.nrrd").write_bytes(b"NRRD0004\n# " + b"x" * 2**22)
    error, peak = peak_bytes(read_volume, tmp_path / "scan.nrrd")
    assert "does not end within 2097152 bytes" in str(error)
    assert peak < 16 * MIB


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd"])
def test_reading_takes_little_more_than_the_voxels(tmp_path, monkeypatch, name):
    monkeypatch.setattr(voxel_stream, "READ_AT_ONCE_BYTES", 2**18)
    rng = np.random.default_rng(0)
    values = np.tile(rng.integers(-1000, 400, (64, 64, 8)).astype(np.int16), (2, 2, 20))
    header = nifti_header(values.shape)
    if name.endswith("nrrd"):
        sizes = " ".join(map(str, values.shape))
        header = NRRD.format(type="short", sizes=sizes, encoding="gzip").encode()
    voxels = values.tobytes(order="F")
    packed = {"scan.nii": header + voxels, "scan.nii.gz": gzip.compress(header + voxels, 1)}
    (tmp_path / name).write_bytes(packed.get(name) or header + gzip.compress(voxels, 1))
    volume, peak = peak_bytes(read_volume, tmp_path / name)
    np.testing.assert_array_equal(volume.hu, values)
    assert peak < 1.3 * values.nbytes + 2 * MIB


def test_a_series_takes_little_more_than_its_voxels(tmp_path, write_series):
    values = np.random.default_rng(0).integers(-1000, 400, (128, 128, 40)).astype(np.int16)
    write_series(tmp_path / "ct", values)
    volume, peak = peak_bytes(read_volume, tmp_path / "ct")
    np.testing.assert_array_equal(volume.hu, values)
    assert peak < 1.3 * values.nbytes + 2 * MIB
