"""Headers that crashed the server, and doubtful scans: each gets a sentence, and the server goes on."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
import SimpleITK as sitk

META = (
    "ObjectType = Image\nNDims = {dims}\nBinaryData = True\nDimSize = 24 20 10\n{more}ElementType = MET_SHORT\n"
    "ElementDataFile = LOCAL\n"
)
PLACED = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementSpacing = 5 5 6\n"
NRRD = "NRRD0004\ntype: short\ndimension: {dims}\nsizes: {sizes}\nencoding: raw\nendian: little\n{more}\n"


def body() -> bytes:
    """A small body in air."""
    hu = np.full((24, 20, 10), -1000, np.int16)
    hu[4:20, 4:16] = 40
    hu[8:12, 6:10, 3:7] = 120
    return hu.tobytes(order="F")


def bomb() -> bytes:
    """A header that promises 128 MiB of zeros, which take 130 kB."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((512, 512, 256))
    header["magic"], header["vox_offset"] = b"n+1", 352
    return gzip.compress(header.binaryblock + bytes(4 + 2**27), 1)


def infer(server: Any, name: str, content: bytes, output: str = "json") -> requests.Response:
    """Upload a scan as a session and ask for the liver in it; the first refusal, or the answer."""
    client = requests.Session()
    made = client.put(f"{server.url}/session/", files={"files": (name, content)}, timeout=60)
    if not made.ok:
        return made
    query = {"session_id": made.json()["session_id"], "output": output}
    data = {"params": '{"prompt": "liver"}'}
    return client.post(f"{server.url}/infer/medvlsam2_referring", params=query, data=data, timeout=180)


HOSTILE = {
    "ndims99.mha": (META.format(dims=99, more=PLACED).encode() + body(), "NDims 99"),
    "dim16.nrrd": (NRRD.format(dims=16, sizes="2 " * 16, more="").encode() + body(), "16-D"),
    "passwd.nrrd": (NRRD.format(dims=3, sizes="9 9 9", more="data file: /etc/passwd\n").encode(), "only a file beside"),
    "bomb.nii.gz": (bomb(), "a ratio of"),
    "microns.mha": (
        META.format(dims=3, more="ElementSpacing = 4000 4000 5000\n").encode() + body(),
        "4000 x 4000 x 5000",
    ),
    "page.nii.gz": (b"<html>404</html>", "HTML"),
    "long.mhd": (META.format(dims=3, more=PLACED).replace("LOCAL", "n" * 5000).encode(), "only a file beside"),
    "twice.mha": (META.format(dims=3, more=PLACED + "Origin = 0 0 0\nOffset = 1 2 3\n").encode() + body(), "different"),
    "double.nrrd": (NRRD.format(dims=3, sizes="24 20 10", more="space: LPS\nspace: RAS\n").encode() + body(), "twice"),
    "misnamed.nii.gz": (NRRD.format(dims=3, sizes="24 20 10", more="").encode() + body(), "is a NRRD file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_gets_a_sentence_and_the_server_lives(server: Any, name: str) -> None:
    content, said = HOSTILE[name]
    reply = infer(server, name, content)
    assert reply.status_code == 422, reply.text
    assert said in reply.text
    assert "root:" not in reply.text
    assert server.get("/info/").status_code == 200


def test_the_reply_warns_that_sides_and_sizes_are_not_known(server: Any) -> None:
    reply = infer(server, "bare.mha", META.format(dims=3, more="").encode() + body())
    assert reply.status_code == 200, reply.text
    warnings = " ".join(reply.json()["warnings"])
    assert "left/right is not known" in warnings
    assert "1 mm was assumed" in warnings


def test_a_mask_of_a_scan_in_centimetres_lies_on_the_scan_that_viewers_get(server: Any, tmp_path: Path) -> None:
    """Viewers get the scan as a NIfTI file in mm, so the mask is in mm too."""
    placed = 'space: LPS\nspace directions: (0.5,0,0) (0,0.5,0) (0,0,0.6)\nspace units: "cm" "cm" "cm"\n'
    header = NRRD.format(dims=3, sizes="24 20 10", more=placed)
    reply = infer(server, "centimetres.nrrd", header.encode() + body(), output="image")
    assert reply.status_code == 200, reply.text
    (tmp_path / "mask.nrrd").write_bytes(reply.content)
    assert sitk.ReadImage(str(tmp_path / "mask.nrrd")).GetSpacing() == pytest.approx((5, 5, 6))
