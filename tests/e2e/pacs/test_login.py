"""A PACS with a login, and a server that starts before it: labels wait, and neither logs nor replies tell secrets."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import requests
from monailabel.config import Settings

from label_tasks.pacs.address import PacsAddress, address_of
from label_tasks.pacs.dicomweb import DicomWeb
from medvlsam2.data.dicom_seg import read_seg
from medvlsam2.errors import InvalidConfig, PacsUnavailable

from .conftest import ROOT_UID, Cable, body, grid, slices
from .test_pacs import painted, told, wait_until

SERVE = Path(__file__).resolve().parents[3] / "apps" / "medvlsam2" / "serve.py"
LOGIN = ("anna", "pa:ss @wörd/1")
SERIES = 21
NAME = "DOE_JOHN_1950"


@pytest.fixture(scope="module")
def guarded(start_orthanc: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Orthanc that lets one user in, with one series of a patient whose id is a name."""
    with start_orthanc(tmp_path_factory.mktemp("guarded"), dict([LOGIN])) as url:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for k, content in slices(SERIES, body(), grid()).items():
                one = pydicom.dcmread(BytesIO(content))
                one.PatientID, one.PatientName = NAME, "Doe^John"
                one.save_as(file := BytesIO())
                archive.writestr(f"{k}.dcm", file.getvalue())
        auth = (LOGIN[0], LOGIN[1].encode())
        requests.post(f"{url}/instances", data=buffer.getvalue(), auth=auth, timeout=60).raise_for_status()
        yield url


@pytest.fixture(scope="module")
def way(guarded: str) -> Iterator[Cable]:
    """The relay to the PACS; it is disconnected at first."""
    cable = Cable(guarded)
    cable.pull()
    yield cable
    cable.close()


@pytest.fixture(scope="module")
def server(way: Cable, start: Callable[..., Any], tiny_model_dir: Path, tmp_path_factory: Any) -> Iterator[Any]:
    """Started while the PACS cannot be reached, with the login in the host's own settings."""
    settings = {
        "MONAI_LABEL_DICOMWEB_USERNAME": LOGIN[0],
        "MONAI_LABEL_DICOMWEB_PASSWORD": LOGIN[1],
        "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "1",
        "MONAI_LABEL_DICOMWEB_READ_TIMEOUT": "3",
    }
    with start(tmp_path_factory.mktemp("login"), f"{way.url}/dicom-web", tiny_model_dir, **settings) as live:
        yield live


def test_a_label_of_a_scan_that_the_server_never_saw_is_kept_and_sent(
    server: Any, way: Cable, guarded: str, tmp_path: Path
) -> None:
    image = f"{ROOT_UID}.{SERIES}"
    place = np.s_[4:9, 6:9, 8:12]
    label = painted(tmp_path / "label.nii.gz", {1: place}, grid())
    assert server.infer("medvlsam2_referring", image, {"prompt": "liver"}).status_code == 503
    reply = server.client().save_label(image, str(label), params={"label_info": [{"name": "liver", "idx": 1}]})
    assert reply["pacs"]["state"] == "waiting for the PACS"
    assert "not compared with its scan" in reply["warnings"][0]
    assert server.get("/datastore/").json()["pacs"]["labels_waiting"] == 1
    assert server.infer("medvlsam2_referring", image, {"prompt": "liver"}).status_code == 503, "no scan, no answer"
    strange = requests.put(
        f"{server.url}/datastore/label?image={NAME}", files={"label": ("a.nii.gz", label.read_bytes())}, timeout=60
    )
    assert strange.status_code == 503, "no series has such an id"
    way.mend()
    wait_until(lambda: told(server, image)["state"] == "in the PACS")
    uid = told(server, image)["SOPInstanceUID"]
    client = DicomWeb(PacsAddress(f"{guarded}/dicom-web", auth=httpx.BasicAuth(*LOGIN)))
    client.fetch(f"{image}.9000", told(server, image)["SeriesInstanceUID"], uid, tmp_path / "seg.dcm")
    read = read_seg(tmp_path / "seg.dcm", (40, 36, 40), grid())
    expected = np.zeros((40, 36, 40), bool)
    expected[place] = True
    np.testing.assert_array_equal(read.label_map.values == read.segments[0].number, expected)


def test_scans_and_viewers_pass_through_the_login(server: Any, way: Cable) -> None:
    way.mend()
    image = f"{ROOT_UID}.{SERIES}"
    wait_until(lambda: server.get("/proxy/dicom/qido/studies").status_code == 200)
    wait_until(
        lambda: server.infer("medvlsam2_referring", image, {"prompt": "liver"}, output="json").status_code == 200
    )
    assert server.get(f"/datastore/image/info?image={image}").json()["PatientID"] == NAME


def test_nothing_of_the_patient_or_the_login_is_in_the_log(server: Any, way: Cable) -> None:
    way.mend()
    server.client().next_sample("uniform_random", {})
    text = server.log.read_text(encoding="utf-8") + server.get("/logs/?text=true&lines=5000").text
    for secret in (NAME, "DOE", "Doe", LOGIN[1], "w%C3%B6rd", f"{ROOT_UID}.{SERIES}"):
        assert secret not in text, secret
    assert "The label of image #" in text


@pytest.mark.parametrize("login", [("anna", "wrong"), ("ben", LOGIN[1]), ("", "")])
def test_a_wrong_login_is_one_sentence(guarded: str, login: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(MONAI_LABEL_DICOMWEB_USERNAME=login[0], MONAI_LABEL_DICOMWEB_PASSWORD=login[1])
    client = DicomWeb(address_of(f"{guarded}/dicom-web/", settings))
    with pytest.raises(PacsUnavailable, match="refused the login") as series:
        client.series(Modality="CT")
    with pytest.raises(PacsUnavailable, match="refused the login") as stored:
        client.store({"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "SOPInstanceUID": "1.4"}, b"x")
    for error in (series, stored):
        assert "MONAI_LABEL_DICOMWEB_USERNAME" in str(error.value)
        assert "wrong" not in str(error.value)
    assert "wrong" not in caplog.text


def test_a_login_in_the_address_is_refused_before_anything_is_shown() -> None:
    with pytest.raises(InvalidConfig, match="holds a user or a password"):
        address_of("http://anna:secret@127.0.0.1:8042/dicom-web", Settings())
    command = [sys.executable, str(SERVE), "--model", "x", "--studies", "http://anna:secret@127.0.0.1:1/dicom-web"]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert ended.returncode == 2
    assert "holds a user or a password" in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr


def test_a_machine_without_google_credentials_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Google's own library looks for them; the file that is named is no key."""
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "nonsense", "private_key": "secret"}), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    address = address_of("https://healthcare.googleapis.com/v1/projects/p/dicomWeb", Settings())
    with pytest.raises(PacsUnavailable, match="no valid Google credentials") as error:
        DicomWeb(address).series(Modality="CT")
    assert "secret" not in str(error.value)
    assert address_of("http://127.0.0.1/googleapis.com", Settings()).auth is None
