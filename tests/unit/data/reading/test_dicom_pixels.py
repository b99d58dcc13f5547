"""Hounsfield units of DICOM against known values: padding, MONOCHROME1, rescale, bits, syntaxes, decoder."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.dicom import decode_child
from medvlsam2.errors import UnreadableVolume

HU_MIN = -1024


@pytest.fixture
def hu():
    """A round body of 40 HU in air with a dense and a fatty mark, and some water of exactly 0 HU inside."""
    i, j, k = np.indices((24, 20, 4))
    values = np.full(i.shape, -1000, np.int16)
    values[(i - 11.5) ** 2 + (j - 9.5) ** 2 < 64] = 40
    values[8:10, 8:10], values[13:15, 8:10], values[11, 9:12] = 300, -90, 0
    return values + 3 * (k == 2).astype(np.int16) * (values == 300)


def outside(hu):
    """A mask of the corners, which lie outside the scanner's field of view."""
    i, j = np.indices(hu.shape[:2])
    return (i - 11.5) ** 2 + (j - 9.5) ** 2 > 110


def edit(paths, change, *, compress=False):
    """Change each file: ``change(dataset, stored)`` gets the pixels as integers and may return new pixels."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        stored = change(dataset, dataset.pixel_array.astype(np.int64))
        if stored is not None:
            bits = dataset.BitsAllocated
            dataset.PixelData = (stored & ((1 << bits) - 1)).astype(f"u{bits // 8}").tobytes()
        if compress:
            dataset.compress(RLELossless)
        dataset.save_as(path)


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def compress(request):
    """Whether the pixels are compressed; both cases must give the same Hounsfield units."""
    return request.param


def test_monochrome1_is_not_inverted(tmp_path, write_series, hu, compress):
    def change(dataset, _):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    edit(write_series(tmp_path / "ct", hu), change, compress=compress)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, hu)


@pytest.mark.parametrize("tag", [63536, -2000])
def test_unsigned_padding_is_air(tmp_path, write_series, hu, compress, tag):
    def change(dataset, stored):
        dataset.PixelRepresentation = 0
        dataset.add_new("PixelPaddingValue", "US" if tag > 0 else "SS", tag)
        return np.where(outside(hu).T, 63536, stored)

    edit(write_series(tmp_path / "ct", hu), change, compress=compress)
    expected = np.where(outside(hu)[..., None], HU_MIN, hu)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, expected)


def test_signed_padding_and_a_range_of_paddings_are_air(tmp_path, write_series, hu, compress):
    def change(dataset, stored):
        dataset.add_new("PixelPaddingValue", "SS", 4000)
        dataset.add_new("PixelPaddingRangeLimit", "SS", 4090)
        return np.where(outside(hu).T, 4000 + 30 * (np.indices(stored.shape)[0] % 4), stored)

    edit(write_series(tmp_path / "ct", hu), change, compress=compress)
    expected = np.where(outside(hu)[..., None], HU_MIN, hu)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, expected)


def test_padding_above_the_used_bits_is_air(tmp_path, write_series, hu):
    def change(dataset, stored):
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 0, 12, 11
        dataset.add_new("PixelPaddingValue", "US", 63536)
        return np.where(outside(hu).T, 63536, stored)

    edit(write_series(tmp_path / "ct", hu), change)
    expected = np.where(outside(hu)[..., None], HU_MIN, hu)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, expected)


def test_a_padding_value_that_tissue_can_have_is_air_only_around_the_body(tmp_path, write_series, hu, compress):
    """Files with a padding value of 0 HU exist: water inside the body must not become air."""

    def change(dataset, stored):
        dataset.add_new("PixelPaddingValue", "SS", 1024)
        return np.where(outside(hu).T, 1024, stored)

    edit(write_series(tmp_path / "ct", hu), change, compress=compress)
    expected = np.where(outside(hu)[..., None], HU_MIN, hu)
    assert (expected[11, 9:12] == 0).all()
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, expected)


def test_the_padding_of_an_implicit_file_is_understood(tmp_path, write_series, hu):
    paths = write_series(tmp_path / "ct", hu)

    def change(dataset, stored):
        dataset.PixelRepresentation = 0
        dataset.add_new("PixelPaddingValue", "US", 63536)
        dataset.is_implicit_VR = True
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        return np.where(outside(hu).T, 63536, stored)

    edit(paths, change)
    expected = np.where(outside(hu)[..., None], HU_MIN, hu)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, expected)


def test_each_slice_has_its_own_rescale(tmp_path, write_series, hu, compress):
    rescales = iter([(1.0, -1024.0), (0.5, -1000.0), (2.0, -2048.0), (1.25, -1000.5)])

    def change(dataset, _):
        slope, intercept = next(rescales)
        k = round((float(dataset.ImagePositionPatient[2]) - 30) / 2.5)
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        return np.round((hu[:, :, k].T - intercept) / slope).astype(np.int64)

    edit(write_series(tmp_path / "ct", hu), change, compress=compress)
    assert np.abs(read_volume(tmp_path / "ct").hu - hu).max() <= 1
    assert (read_volume(tmp_path / "ct").hu[:, :, 0] == hu[:, :, 0]).all()


def test_unused_bits_and_a_shifted_word_are_cut_off(tmp_path, write_series, hu):
    def overlay(dataset, stored):
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 0, 12, 11
        return stored | ((np.indices(stored.shape)[0] % 3 == 0) << 15)

    def shifted(dataset, stored):
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 0, 12, 15
        return stored << 4

    def signed(dataset, stored):
        dataset.BitsStored, dataset.HighBit, dataset.RescaleIntercept = 12, 11, 0
        return (stored - 1024) & 0xFFF

    for change in (overlay, shifted, signed):
        edit(write_series(tmp_path / change.__name__, hu), change)
        np.testing.assert_array_equal(read_volume(tmp_path / change.__name__).hu, hu)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_syntax_that_is_not_compressed_is_read(tmp_path, write_series, hu, syntax):
    for path in write_series(tmp_path / "ct", hu):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.is_implicit_VR, dataset.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
        if not syntax.is_little_endian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(path, write_like_original=False)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, hu)


@pytest.mark.parametrize("syntax", ["1_2_840_10008_1_2_1", "1.2.840.10008.1.2.4.70"])
def test_pixels_outside_items_are_read_as_uncompressed_whatever_the_syntax_says(tmp_path, write_series, hu, syntax):
    for path in write_series(tmp_path / "ct", hu):
        content = path.read_bytes()
        old = b"1.2.840.10008.1.2.1\0"
        assert content.count(old) == 1
        longer = len(syntax) + len(syntax) % 2 - len(old)
        place = content.index(old)
        length = (int.from_bytes(content[140:144], "little") + longer).to_bytes(4, "little")
        path.write_bytes(
            content[:140] + length + content[144 : place - 2] + (len(old) + longer).to_bytes(2, "little")
            + syntax.encode().ljust(len(old) + longer, b"\0") + content[place + len(old) :]
        )  # fmt: skip
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, hu)


def test_a_frame_without_offset_table_is_decoded(tmp_path, write_series, hu):
    paths = compressed_series(tmp_path / "ct", write_series, hu)
    for path in paths:
        dataset = pydicom.dcmread(path)
        frames = list(pydicom.encaps.generate_pixel_data_frame(dataset.PixelData, 1))
        dataset.PixelData = pydicom.encaps.encapsulate(frames, has_bot=False)
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, hu)


def test_a_deflated_file_is_decompressed_only_up_to_the_limit(tmp_path, write_series, hu):
    path = write_series(tmp_path / "ct", hu)[0]
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, write_like_original=False)
    content = path.read_bytes()
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = engine.compress(bytes(2**25)) + engine.flush()
    start = content.index(b"1.2.840.10008.1.2.1.99")
    end = content.index(b"\x02\x00\x12\x00", start)  # the implementation's UID, the last part of the meta header
    length = int.from_bytes(content[end + 6 : end + 8], "little")
    meta = bytearray(content[: end + 8 + length])
    meta[140:144] = (len(meta) - 144).to_bytes(4, "little")
    path.write_bytes(bytes(meta) + bomb)
    with pytest.raises(UnreadableVolume, match="more than 200 times"):
        read_volume(path)


def test_the_header_of_the_pixels_is_checked(tmp_path, write_series, hu):
    def colour(dataset, _):
        dataset.PhotometricInterpretation = "PALETTE COLOR"

    def twelve(dataset, _):
        dataset.BitsAllocated = 12

    def many(dataset, _):
        dataset.NumberOfFrames = 10**9

    def none(dataset, _):
        del dataset.PixelData

    for change, reason in (
        (colour, "colour"),
        (twelve, "12 bits"),
        (many, "but only 1 of them have a position"),
        (none, "holds no pixels"),
    ):
        paths = write_series(tmp_path / change.__name__, hu)
        for path in paths:
            dataset = pydicom.dcmread(path)
            change(dataset, None)
            dataset.save_as(path)
        with pytest.raises(UnreadableVolume, match=reason):
            read_volume(tmp_path / change.__name__)


def compressed_series(folder, write_series, hu):
    paths = write_series(folder, hu)
    edit(paths, lambda dataset, stored: None, compress=True)
    return paths


def test_one_child_without_torch_decodes_a_series(tmp_path, write_series, hu, monkeypatch):
    compressed_series(tmp_path / "ct", write_series, hu)
    started = []
    real = subprocess.Popen

    def counted(command, **options):
        started.append((command, options))
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", counted)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").hu, hu)
    assert len(started) == 1
    command, options = started[0]
    assert command[1] == "-I"
    assert not {"SECRET_TOKEN", "PYTHONPATH"} & set(options["env"])
    assert not Path(command[3]).exists()
    loaded = f"import runpy, sys; runpy.run_path({command[2]!r}); print({{'torch', 'medvlsam2'}} & set(sys.modules))"
    assert (
        subprocess.run([*command[:2], "-c", loaded], capture_output=True, encoding="utf-8", check=True).stdout
        == "set()\n"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os._exit(3)", "exit code 3"),
        ("print(1 / 0)", "exit code 1"),
        ('print(\'{"shape": [1, 20, 24], "dtype": "<i2"}\'); print(\'short\')', "exit code 0"),
        ('print(\'{"shape": [999, 20, 24], "dtype": "<i2"}\')', "479520 pixels, but its header promises 480"),
    ],
)
def test_a_crash_of_the_decoder_is_an_error_of_the_request(tmp_path, write_series, hu, monkeypatch, *, code, said):
    paths = compressed_series(tmp_path / "ct", write_series, hu)
    script = tmp_path / "dies.py"
    script.write_text(f"import os, signal, sys\nassert 'torch' not in sys.modules\n{code}\n", encoding="utf-8")
    monkeypatch.setattr(decode_child, "__file__", str(script))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    os.mkdir(tmp_path / "temp")
    with pytest.raises(UnreadableVolume, match=said) as caught:
        read_volume(tmp_path / "ct")
    assert any(path.name in str(caught.value) for path in paths)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "temp").iterdir()) == []


def test_damaged_compressed_pixels_are_named(tmp_path, write_series, hu):
    path = compressed_series(tmp_path / "ct", write_series, hu)[2]
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff" * 200])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    with pytest.raises(UnreadableVolume, match="damaged or truncated") as caught:
        read_volume(tmp_path / "ct")
    assert path.name in str(caught.value)
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(UnreadableVolume, match="damaged or truncated"):
        read_volume(tmp_path / "ct")


def test_no_name_of_a_patient_reaches_the_decoder(tmp_path, write_series, hu, monkeypatch):
    compressed_series(tmp_path / "ct", write_series, hu)
    script = tmp_path / "looks.py"
    script.write_text(
        "import pathlib, sys\nfound = b''.join(file.read_bytes() for file in pathlib.Path(sys.argv[1]).iterdir())\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_bytes(found)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(decode_child, "__file__", str(script))
    with pytest.raises(UnreadableVolume):
        read_volume(tmp_path / "ct")
    seen = (tmp_path / "seen").read_bytes()
    assert len(seen) > 1000
    assert b"Secret" not in seen
    assert b"SECRET" not in seen
