"""What is stored, served and exported of a submitted label holds what its check found, whatever its file held."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from fastapi.testclient import TestClient

from .conftest import SHAPE

INFO = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}]


def painted() -> np.ndarray:
    values = np.zeros(SHAPE, np.uint8)
    values[0], values[-1, 1:] = 1, 2
    return values


def submit(server: TestClient, content: bytes, name: str, tag: str = "final") -> Any:
    return server.put(
        "/datastore/label",
        params={"image": "alpha", "tag": tag},
        data={"params": json.dumps({"label_info": INFO})},
        files={"label": (name, content)},
    )


def served(server: TestClient, tag: str = "final") -> tuple[str, bytes]:
    reply = server.get("/datastore/label", params={"label": "alpha", "tag": tag})
    assert reply.status_code == 200
    name = reply.headers["content-disposition"].split("filename=")[1].strip('"')
    return name, reply.content


def exported(server: TestClient) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(server.get("/datastore/dataset").content)) as archive:
        name = next(name for name in archive.namelist() if name.startswith("label/"))
        return Path(name).name, archive.read(name)


def opened(folder: Path, file: tuple[str, bytes]) -> sitk.Image:
    """Return the label as another program reads it."""
    path = folder / f"read-{file[0]}"
    path.write_bytes(file[1])
    return sitk.ReadImage(str(path))


def nifti(folder: Path, name: str, image: nib.Nifti1Image) -> bytes:
    nib.save(image, folder / name)
    return (folder / name).read_bytes()


def _floats(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    return "x.nii.gz", nifti(folder, "x.nii.gz", nib.Nifti1Image(painted().astype(np.float32) * 0.9961, affine))


def _whole_floats(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    return "x.nii", nifti(folder, "x.nii", nib.Nifti1Image(painted().astype(np.float64), affine))


def _scaled(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    image = nib.Nifti1Image(painted(), affine)
    image.header.set_slope_inter(1.0000001, 0)
    return "x.nii.gz", nifti(folder, "x.nii.gz", image)


def _packed_without_saying(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    return "x.nii", gzip.compress(nifti(folder, "x.nii", nib.Nifti1Image(painted(), affine)))


def _packed_floats_without_saying(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    return "x.nii", gzip.compress(_whole_floats(folder, affine)[1])


def _unpacked(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    return "x.nii.gz", nifti(folder, "x.nii", nib.Nifti1Image(painted(), affine))


def _turned(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    return "x.nii.gz", nifti(folder, "x.nii.gz", nib.Nifti1Image(painted()[::-1].copy(), affine @ flip))


def _four_axes(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
    return "x.nii.gz", nifti(folder, "x.nii.gz", nib.Nifti1Image(painted()[..., None], affine))


def _itk_floats(suffix: str) -> Callable[[Path, np.ndarray], tuple[str, bytes]]:
    def make(folder: Path, affine: np.ndarray) -> tuple[str, bytes]:
        plain = folder / "plain.nii.gz"
        nib.save(nib.Nifti1Image(painted(), affine), plain)
        sitk.WriteImage(sitk.Cast(sitk.ReadImage(str(plain)), sitk.sitkFloat32) * 0.9961, str(folder / f"x{suffix}"))
        return f"x{suffix}", (folder / f"x{suffix}").read_bytes()

    return make


SENT = {
    "floats near whole numbers": _floats,
    "whole numbers as floats": _whole_floats,
    "a scale of nearly 1": _scaled,
    "compressed as .nii": _packed_without_saying,
    "floats, compressed as .nii": _packed_floats_without_saying,
    "not compressed as .nii.gz": _unpacked,
    "turned about": _turned,
    "a fourth axis": _four_axes,
    "floats in NRRD": _itk_floats(".nrrd"),
    "floats in MetaImage": _itk_floats(".mha"),
}


@pytest.mark.parametrize(
    ("tag", "make"), [*(("final", make) for make in SENT.values()), ("draft", _floats)], ids=[*SENT, "another tag"]
)
def test_the_checked_label_is_stored_served_and_exported(
    server: TestClient, studies: Path, affine: np.ndarray, tmp_path: Path, *, make: Any, tag: str
) -> None:
    name, content = make(tmp_path, affine)
    reply = submit(server, content, name, tag)
    assert reply.status_code == 200, reply.text
    scan = sitk.ReadImage(str(studies / "alpha.nii.gz"))
    for file in (served(server, tag), *([exported(server)] if tag == "final" else [])):
        image = opened(tmp_path, file)
        assert image.GetPixelID() == sitk.sitkUInt8
        assert image.GetSize() == scan.GetSize()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, painted())
        np.testing.assert_allclose(image.GetOrigin(), scan.GetOrigin(), atol=1e-3)
        np.testing.assert_allclose(image.GetDirection(), scan.GetDirection(), atol=1e-5)
    kept = list((studies / "labels" / tag / ".versions" / "alpha").glob("*.sent*"))
    assert [path.read_bytes() for path in kept] == [content]


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".nii.gz", np.uint8), (".nii", np.int16), (".nrrd", np.int32), (".mha", np.uint8)]
)
def test_plain_labels_stay_byte_for_byte(
    server: TestClient, studies: Path, affine: np.ndarray, tmp_path: Path, *, suffix: str, kind: Any
) -> None:
    nib.save(nib.Nifti1Image(painted().astype(kind), affine), tmp_path / "made.nii")
    content = (tmp_path / "made.nii").read_bytes()
    if suffix != ".nii":
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "made.nii")), str(tmp_path / f"made{suffix}"))
        content = (tmp_path / f"made{suffix}").read_bytes()
    assert submit(server, content, f"x{suffix}").status_code == 200
    assert served(server) == (f"alpha{suffix}", content)
    assert exported(server) == (f"alpha{suffix}", content)
    assert not list((studies / "labels/final/.versions/alpha").glob("*.sent*"))


def test_names_stay_and_what_was_sent_survives_the_next_version(
    server: TestClient, studies: Path, affine: np.ndarray, tmp_path: Path
) -> None:
    name, content = _floats(tmp_path, affine)
    assert submit(server, content, name).status_code == 200
    plain = nifti(tmp_path, "p.nii.gz", nib.Nifti1Image(painted(), affine))
    assert submit(server, plain, "p.nii.gz").status_code == 200
    address = {"label": "alpha", "tag": "final"}
    listed = server.get("/datastore/label/versions", params=address).json()
    assert [item["version"] for item in listed["versions"]] == [1, 2]
    assert server.post("/datastore/label/restore", params={**address, "version": 1}).status_code == 200
    np.testing.assert_array_equal(sitk.GetArrayFromImage(opened(tmp_path, served(server))).T, painted())
    assert server.get("/datastore/label/info", params=address).json()["label_info"] == INFO
    assert (studies / "labels/final/.versions/alpha/0001.sent.nii.gz").read_bytes() == content
