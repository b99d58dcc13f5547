"""Damaged header fields: every entry point refuses the file, and the listing still shows the other scans."""

from __future__ import annotations

from contextlib import suppress

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.data.labels.scan_geometry import read_geometry
from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.scan_kinds import list_scans
from medvlsam2.data.scan_download import loads_as_it_is
from medvlsam2.errors import UnreadableVolume

META = "ObjectType = Image\nNDims = 3\nDimSize = 5 7 9\nElementType = MET_SHORT\nElementDataFile = {}\n"
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 9\nencoding: raw\nendian: little\ndata file: {}\n"


@pytest.fixture
def studies(tmp_path, small_hu):
    """A folder with one good scan."""
    nib.save(nib.Nifti1Image(small_hu, np.diag([-4.0, -4, 5, 1])), tmp_path / "good.nii.gz")
    return tmp_path


def is_refused_everywhere(folder, path):
    """Check that the file is refused in one printable sentence, and that download and listing do not fail."""
    with pytest.raises(UnreadableVolume) as error:
        read_volume(path)
    assert str(error.value).isprintable()
    assert str(folder) not in str(error.value)
    with suppress(UnreadableVolume):  # the geometry may not need the damaged field
        read_geometry(path, "scan")
    loads_as_it_is(path)
    assert "good" in [scan.image_id for scan in list_scans(folder).scans]
    return True


@pytest.mark.parametrize("name", ["n" * 5000, "x" * 300 + ".raw", "sub/" + "ü" * 200, "a\x08b.raw", "scan\x1b[31m.raw"])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_data_file_of_a_name_that_no_file_has(studies, name, suffix):
    path = studies / f"bad{suffix}"
    path.write_text((META if suffix == ".mhd" else NRRD).format(name), encoding="utf-8")
    assert is_refused_everywhere(studies, path)


@pytest.mark.parametrize("field", [b"\x28\x00\x10\x00US\x02\x00", b"\x20\x00\x32\x00DS", b"\x28\x00\x02\x00US\x02\x00"])
@pytest.mark.parametrize("damage", ["type", "length"])
def test_a_dicom_field_of_an_unknown_type_or_a_broken_length(studies, write_series, field, damage):
    """Rows, position, and samples per pixel, at which pydicom looks only when they are asked for."""
    paths = write_series(studies / "series")
    content = paths[4].read_bytes()
    start = content.index(field)
    if damage == "type":
        content = content[: start + 4] + b"Uz" + content[start + 6 :]
    else:
        content = content[: start + 6] + b"\x03\x00" + content[start + 8 : start + 11] + content[start + 10 :]
    paths[4].write_bytes(content)
    assert is_refused_everywhere(studies, studies / "series")


def test_a_meta_header_of_a_broken_length(studies, write_series):
    """pydicom raises its own type of error here."""
    paths = write_series(studies / "series")
    content = paths[4].read_bytes()
    assert content[132:140] == b"\x02\x00\x00\x00UL\x04\x00"
    paths[4].write_bytes(content[:138] + b"\x06\x00" + content[140:])
    assert is_refused_everywhere(studies, studies / "series")
