"""Every form in which people send a scan is read."""

from __future__ import annotations

import gzip
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests

META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 24 20 10\nElementSpacing = 5 5 6\n"
    "ElementType = MET_SHORT\nElementDataFile = {}\n"
)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: RAS\nsizes: 24 20 10\nspace directions: (-5,0,0) (0,-5,0) (0,0,6)\n"
    "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (90,95,-300)\ndata file: {}\n\n"
)

assert importlib.util.find_spec("pydicom")


@pytest.fixture
def voxels(scan_bytes: bytes) -> bytes:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(scan_bytes))
    return np.asarray(image.dataobj, dtype="<i2").tobytes(order="F")


def answered(target: Any, files: list[tuple[str, bytes]], **query: str) -> requests.Response:
    client = requests.Session()
    parts = [("files", item) for item in files]
    made = client.put(f"{target.url}/session/", params=query, files=parts, timeout=60)
    assert made.status_code == 200, made.text
    asked = {"session_id": made.json()["session_id"], "output": "json"}
    return client.post(
        f"{target.url}/infer/medvlsam2_referring", params=asked, data={"params": '{"prompt": "liver"}'}, timeout=120
    )


@pytest.mark.parametrize("header", ["scan.mhd", "SCAN.MHD"])
@pytest.mark.parametrize("data", ["scan.raw", "Scan 1.RAW"])
def test_metaimage_of_two_files(target: Any, voxels: bytes, header: str, data: str) -> None:
    reply = answered(target, [(header, META.format(data).encode()), (data, voxels)])
    assert reply.status_code == 200, reply.text


def test_nrrd_of_two_files(target: Any, voxels: bytes) -> None:
    reply = answered(target, [("scan.nhdr", NRRD.format("scan.raw").encode()), ("scan.raw", voxels)])
    assert reply.status_code == 200, reply.text


def test_a_zipped_nifti_and_a_zipped_pair(
    target: Any, zipped: Callable[..., bytes], scan_bytes: bytes, voxels: bytes
) -> None:
    pair = {"case/scan.mhd": META.format("scan.raw").encode(), "case/scan.raw": voxels}
    for members in ({"scan.nii.gz": scan_bytes}, {"CT/SCAN.NII.GZ": scan_bytes, "README.txt": b"read me"}, pair):
        reply = answered(target, [("s.zip", zipped(members))], uncompress="true")
        assert reply.status_code == 200, reply.text


def test_a_zip_of_the_finder(target: Any, zipped: Callable[..., bytes], scan_bytes: bytes) -> None:
    members = {"CT/scan.nii.gz": scan_bytes, "__MACOSX/CT/._scan.nii.gz": b"\0\5\x16\7", "CT/.DS_Store": b"\0"}
    reply = answered(target, [("s.zip", zipped(members))], uncompress="true")
    assert reply.status_code == 200, reply.text


def test_a_header_that_names_a_file_of_the_server(target: Any) -> None:
    made = requests.put(
        f"{target.url}/session/", files={"files": ("scan.nhdr", NRRD.format("/etc/passwd").encode())}, timeout=60
    )
    assert made.status_code in {400, 422}
    assert "root:" not in made.text


@pytest.mark.parametrize("way", ["state", "image", "infer"])
def test_an_expired_session_is_gone_with_its_files(target: Any, scan_bytes: bytes, way: str) -> None:
    client = requests.Session()
    part = {"files": ("scan.nii.gz", scan_bytes)}
    made = client.put(f"{target.url}/session/?expiry=1", files=part, timeout=60).json()["session_id"]
    folder = target.folder / "sessions" / made
    assert folder.is_dir()
    assert client.get(f"{target.url}/session/{made}", timeout=60).status_code == 200
    time.sleep(2.5)
    infer = f"{target.url}/infer/medvlsam2_semantic?session_id={made}"
    reply = {
        "state": lambda: client.get(f"{target.url}/session/{made}", timeout=60),
        "image": lambda: client.get(f"{target.url}/session/{made}?image=true", timeout=60),
        "infer": lambda: client.post(infer, timeout=60),
    }[way]()
    assert (reply.status_code, "expired" in reply.json()["detail"]) == (404, True)
    assert not folder.exists()


def test_files_of_an_expired_session_go_with_the_next_upload(target: Any, scan_bytes: bytes) -> None:
    part = {"files": ("scan.nii.gz", scan_bytes)}
    made = requests.put(f"{target.url}/session/?expiry=1", files=part, timeout=60).json()["session_id"]
    time.sleep(2.5)
    assert requests.put(f"{target.url}/session/", files=part, timeout=60).status_code == 200
    assert not (target.folder / "sessions" / made).exists()


def kept(target: Any, scan_bytes: bytes) -> tuple[requests.Session, str]:
    """A client and its session."""
    client = requests.Session()
    made = client.put(f"{target.url}/session/", files={"files": ("scan.nii.gz", scan_bytes)}, timeout=60)
    return client, made.json()["session_id"]


def test_two_scans_in_one_request_are_refused(target: Any, scan_bytes: bytes) -> None:
    client, session = kept(target, scan_bytes)
    infer, part = f"{target.url}/infer/medvlsam2_semantic?output=json", {"file": ("scan.nii.gz", scan_bytes)}
    for query, files in (
        ({"image": "copy0", "session_id": session}, None),
        ({"image": "copy0"}, part),
        ({"session_id": session}, part),
    ):
        reply = client.post(infer, params=query, files=files, timeout=60)
        assert (reply.status_code, "one scan" in reply.json()["detail"]) == (400, True), query


def test_the_name_that_slicer_sends_with_a_session_is_taken(target: Any, scan_bytes: bytes) -> None:
    """3D Slicer sends the name of its volume with the session; no image of the datastore has that name."""
    client, session = kept(target, scan_bytes)
    query = {"image": "Volume 1", "session_id": session, "output": "json"}
    assert client.post(f"{target.url}/infer/medvlsam2_semantic", params=query, timeout=120).status_code == 200


def test_a_result_that_is_not_stored_says_so(target: Any, scan_bytes: bytes) -> None:
    client, session = kept(target, scan_bytes)
    infer, form = f"{target.url}/infer/medvlsam2_semantic?output=json", {"params": '{"save_label": true}'}
    part = {"file": ("scan.nii.gz", scan_bytes)}
    for reply in (
        client.post(infer, params={"session_id": session}, data=form, timeout=120),
        client.post(infer, files=part, data=form, timeout=120),
    ):
        assert any("Nothing was stored" in line for line in reply.json()["warnings"])
    stored = client.post(infer, params={"image": "copy3"}, data=form, timeout=120).json()
    assert not any("Nothing was stored" in line for line in stored["warnings"])


def test_two_data_files_of_one_name_are_refused(target: Any, zipped: Callable[..., bytes], voxels: bytes) -> None:
    """The header gives only a file name, so voxels from another folder could be read."""
    members = {"a/scan.raw": bytes(len(voxels)), "b/scan.raw": voxels, "b/scan.mhd": META.format("scan.raw").encode()}
    made = requests.put(f"{target.url}/session/", files={"files": ("s.zip", zipped(members))}, timeout=60)
    assert (made.status_code, "'scan.raw'" in made.json()["detail"]) == (400, True), made.text
