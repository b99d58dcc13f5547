"""A live server on a free port, with the tiny model and a studies folder of good and bad scans."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
from monailabel.client import MONAILabelClient

ROOT = Path(__file__).resolve().parents[2]
APP_DIR = ROOT / "apps" / "medvlsam2"
STRUCTURES = ["liver", "spleen", "kidney_left", "kidney_right"]
START_S = 240
PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")


@dataclass(frozen=True)
class LiveServer:
    """The address of a running server, and requests to it by the host's client and by raw HTTP."""

    url: str
    studies: str
    log: Path
    folder: Path
    process_id: int

    def client(self) -> MONAILabelClient:
        """The host's own Python client."""
        (self.folder / "received").mkdir(exist_ok=True)
        return MONAILabelClient(self.url, tmpdir=str(self.folder / "received"), client_id="e2e")

    def infer(self, model: str, image: str, params: Any = None, **query: str) -> requests.Response:
        """Send an inference as raw HTTP; a string is sent unchanged."""
        text = params if isinstance(params, str) else json.dumps(params or {})
        address = {"image": image, **query}
        return requests.post(f"{self.url}/infer/{model}", params=address, data={"params": text}, timeout=180)

    def json(self, model: str, image: str, params: Any = None) -> dict[str, Any]:
        """The JSON of an inference that must succeed."""
        reply = self.infer(model, image, params, output="json")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def get(self, path: str) -> requests.Response:
        """GET a path."""
        return requests.get(self.url + path, timeout=60)


@contextmanager
def serving(
    folder: Path, studies: str, model_dir: Path, *, host_command: bool = False, **environment: str
) -> Iterator[LiveServer]:
    """Run a server in a process of its own until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    ours = [str(APP_DIR / "serve.py"), "--model", str(model_dir), "--device", "cpu"]
    hosts = ["-m", "monailabel.main", "start_server", "--app", str(APP_DIR)]
    hosts += ["--conf", "model", str(model_dir), "--conf", "device", "cpu"]
    command = [sys.executable, *(hosts if host_command else ours), "--studies", studies]
    command += ["--host", "127.0.0.1", "--port", port]
    settings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "lib"), os.environ.get("PYTHONPATH")))),
        "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
        "MEDVLSAM2_LOGS": str(folder / "logs"),
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "dicomweb"),
        **environment,
    }
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=settings, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = LiveServer(f"http://127.0.0.1:{port}", studies, log, folder, process.pid)
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(server: LiveServer, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            if server.get("/info/").ok:
                return
        except requests.ConnectionError:
            time.sleep(0.3)
    pytest.fail(f"The server did not start:\n{server.log.read_text(encoding='utf-8')[-4000:]}")


@pytest.fixture(scope="session")
def start_orthanc() -> Callable[..., Any]:
    """The context manager that runs an Orthanc, with users where they are given."""
    return running_orthanc


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    """The context manager that runs a server."""
    return serving


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the smallest model, its weights drawn from a seed."""
    from medvlsam2.data.language import corpus
    from medvlsam2.data.language.tokenizer import train_tokenizer
    from medvlsam2.model import builders, checkpoint

    config = builders.preset("tiny_random")
    tokenizer = train_tokenizer(corpus.sentences(seed=0, count=200), config.language.vocab_size)
    model = builders.build(config, checkpoint.special_tokens(tokenizer), seed=0)
    folder = tmp_path_factory.mktemp("models") / "medvlsam2-tiny-random"
    checkpoint.save(folder, model, tokenizer, {"structures": STRUCTURES})
    return folder


@pytest.fixture(scope="session")
def phantom() -> Any:
    """A small oblique abdomen with a finding, of which everything is known."""
    from medvlsam2.data.phantom import PhantomConfig, generate

    config = PhantomConfig(
        shape_ijk=(72, 60, 40),
        spacing_mm=(5.0, 5.5, 6.0),
        orientation="LPS",
        oblique_degrees=8.0,
        region="abdomen",
        num_lesions=1,
    )
    return generate(3, config)


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory, phantom: Any) -> Path:
    """A phantom, the real scans if available, and every kind of file that is no CT volume."""
    folder = tmp_path_factory.mktemp("studies")
    affine = phantom.volume.affine
    nib.save(nib.Nifti1Image(phantom.volume.hu, affine), folder / "phantom.nii.gz")
    whole = (folder / "phantom.nii.gz").read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "unreadable.nii.gz").write_bytes(b"this is no image")
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8, 2), np.int16), affine), folder / "four_d.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((8, 8), np.int16), affine), folder / "two_d.nii.gz")
    holes = phantom.volume.hu.astype(np.float32)
    holes[3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(holes, affine), folder / "holes.nii.gz")
    nib.save(nib.Nifti1Image(np.full((9, 9, 9), -1024, np.int16), affine), folder / "empty.nii.gz")
    return folder


@pytest.fixture(scope="session")
def real_studies(studies: Path, shared_data: Path) -> Path:
    """The same folder with a real abdomen, an MR and a folder of DICOM slices."""
    shutil.copy(shared_data / "ct" / "TS_abdo" / "image.nii.gz", studies / "TS_abdo.nii.gz")
    shutil.copy(shared_data / "mr" / "MR_TS_abdo" / "image.nii.gz", studies / "mr.nii.gz")
    with tarfile.open(shared_data / "dicom" / "lung113_slab30.tar.gz") as archive:
        archive.extractall(studies / "unpacked", filter="data")
    (studies / "unpacked" / "lung113_slab30").rename(studies / "slab")
    (studies / "unpacked").rmdir()
    return studies


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, studies: Path, tiny_model_dir: Path) -> Iterator[LiveServer]:
    """Our hardened server on those studies."""
    with serving(tmp_path_factory.mktemp("server"), str(studies), tiny_model_dir) as live:
        yield live


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an empty Orthanc with DICOMweb; skips where it is not installed."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), {}) as url:
        yield url


@contextmanager
def running_orthanc(folder: Path, users: dict[str, str]) -> Iterator[str]:
    """Run an Orthanc until the block ends; with users only these are let in."""
    program = shutil.which("Orthanc", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
    plugins = [path for folder in PLUGIN_FOLDERS for path in Path(folder).glob("*DicomWeb*.so*")]
    if program is None or not plugins:
        pytest.skip("Orthanc and its DICOMweb plugin are not installed: apt-get install orthanc orthanc-dicomweb.")
    http_port, dicom_port = _free_ports(2)
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": bool(users),
        "RegisteredUsers": users,
        "Plugins": [str(plugins[0])],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{http_port}"
        _wait_for_orthanc(f"{url}/dicom-web/studies", folder / "orthanc.log", users)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_ports(count: int) -> list[int]:
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait_for_orthanc(url: str, log: Path, users: dict[str, str]) -> None:
    login = next(((user, password.encode()) for user, password in users.items()), None)
    for _ in range(100):
        try:
            if requests.get(url, timeout=5, auth=login).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(f"Orthanc did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")
