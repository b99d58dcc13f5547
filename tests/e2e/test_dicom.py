"""Scans in a PACS: Orthanc serves a series, our server reads it over DICOMweb and stores a DICOM SEG."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import requests


@pytest.fixture(scope="module")
def series(orthanc: str, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SeriesInstanceUID of the chest slab, after it was sent to Orthanc."""
    folder = tmp_path_factory.mktemp("slab")
    with tarfile.open(shared_data / "dicom" / "lung113_slab30.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    for path in sorted(folder.rglob("*.dcm")):
        requests.post(f"{orthanc}/instances", data=path.read_bytes(), timeout=60).raise_for_status()
    (known,) = requests.get(f"{orthanc}/series?expand", timeout=60).json()
    return str(known["MainDicomTags"]["SeriesInstanceUID"])


@pytest.fixture(scope="module")
def pacs_server(
    orthanc: str,
    series: str,
    start: Callable[..., Any],
    tiny_model_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """Our server with the PACS as its studies."""
    folder = tmp_path_factory.mktemp("pacs-server")
    with start(folder, f"{orthanc}/dicom-web", tiny_model_dir, MONAI_LABEL_DICOMWEB_READ_TIMEOUT="60") as live:
        yield live


def test_a_series_is_answered_on_its_own_grid(pacs_server: Any, series: str, tmp_path: Path) -> None:
    request = {
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "result_compress": False,
        "restore_label_idx": False,
        "label_prompt": [1],
        "points": [[256, 256, 15]],
        "point_labels": [1],
    }
    reply = pacs_server.infer("medvlsam2_prompts", series, request, output="image")
    assert reply.status_code == 200, reply.text
    path = tmp_path / "mask.nrrd"
    path.write_bytes(reply.content)
    values, header = nrrd.read(str(path))
    assert header["sizes"].tolist() == [512, 512, 30]
    assert header["encoding"] == "raw"
    assert values.dtype == np.uint8


def test_the_next_sample_names_its_study(pacs_server: Any, series: str) -> None:
    """OHIF opens the study that the reply names, and can only ask for ``random``."""
    sample = pacs_server.client().next_sample("random", {})
    assert sample["id"] == series
    assert sample["StudyInstanceUID"]


def test_an_unknown_series_is_refused(pacs_server: Any) -> None:
    reply = pacs_server.infer("medvlsam2_report", "1.2.3.4")
    assert reply.status_code == 404
    assert "1.2.3.4" in reply.json()["detail"]


def test_a_submitted_label_becomes_a_dicom_seg_at_once(
    pacs_server: Any, orthanc: str, series: str, tmp_path: Path
) -> None:
    client = pacs_server.client()
    mask, _ = client.infer("medvlsam2_semantic", series, {"label": "liver", "result_extension": ".nii.gz"})
    image = nib.load(mask)
    values = np.zeros(image.shape, np.uint8)
    values[200:260, 200:260, 10:20] = 1
    label = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(values, image.affine), label)
    client.save_label(series, str(label), params={"label_info": [{"name": "liver", "idx": 1}]})
    modalities = [item["MainDicomTags"]["Modality"] for item in requests.get(f"{orthanc}/series?expand").json()]
    assert sorted(modalities) == ["CT", "SEG"]
    assert client.info()["datastore"]["completed"] == 1
    assert client.next_sample("random", {}) == {}
