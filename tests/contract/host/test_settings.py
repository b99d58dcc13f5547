"""Settings reach the app and our server, also where the host's own command starts it."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monailabel.interfaces.utils import app as host
from monailabel.main import Main

from label_tasks import host_settings
from medvlsam2.errors import InvalidConfig, InvalidRequest, MissingCheckpoint, VolumeTooLarge
from medvlsam2.settings.record import ServerSettings

APP_DIR = Path(__file__).resolve().parents[3] / "apps" / "medvlsam2"
GB = 10**9


@pytest.fixture
def build(app: Any, studies: Path) -> Callable[..., Any]:
    """Build the app as the host does, with more of ``--conf``."""

    def built(**conf: str) -> Any:
        host.clear_cache()
        return host.app_instance(str(APP_DIR), str(studies), {**app.conf, **conf})

    return built


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The start script as a module, which leaves this process's environment as it is."""
    monkeypatch.setattr(host_settings, "prepare_environment", lambda: None)
    return importlib.import_module("serve")


def test_conf_overrules_the_environment_in_the_app(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDVLSAM2_CACHE_GB", "1")
    assert build().engine.features.budget_bytes == 1 * GB
    assert build(cache_gb="2").engine.features.budget_bytes == 2 * GB


def test_the_readers_of_scans_obey_conf(
    build: Callable[..., Any], studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDVLSAM2_SCAN_MIB", "4096")
    app = build(scan_mib="1")
    nib.save(nib.Nifti1Image(np.zeros((128, 128, 128), np.int16), np.eye(4)), studies / "large.nii")
    with pytest.raises(VolumeTooLarge, match="1 MiB are allowed"):
        app.scans(str(studies / "large.nii"), "large")


def test_the_host_is_told_what_is_its_own_matter_by_then(build: Callable[..., Any]) -> None:
    with pytest.raises(InvalidConfig, match=r"--conf port has no effect here.*medvlsam2 serve --port"):
        build(port="9000")


def test_models_is_not_taken_for_the_model(build: Callable[..., Any]) -> None:
    """The host's sample apps choose their models with ``--conf models``."""
    with pytest.raises(MissingCheckpoint, match=r"'models' is 'nano', which is no folder.*the setting 'model'"):
        build(models="nano", model="nano")


def test_the_log_says_why_nano_answers(
    build: Callable[..., Any], tmp_path: Path, model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, config in (("nano", ""), ("small", "language:\n  base: no-such-base\n")):
        folder = shutil.copytree(model_dir, tmp_path / "models" / f"medvlsam2-{name}")
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        (folder / "model.safetensors").touch()
    app = build(model="auto", models=str(tmp_path / "models"))
    assert app.engine.model_id == "medvlsam2-nano"
    assert "Model 'nano' is used instead of 'small'. 'language.base' is 'no-such-base'" in caplog.text
    with pytest.raises(InvalidConfig, match="'no-such-base', which is no known base"):
        build(model="small", models=str(tmp_path / "models"))


def test_the_host_gets_the_start_as_its_own_options(start: Any, studies: Path) -> None:
    settings = start.checked_settings(["--studies", str(studies), "--port", "9000", "--conf", "host", "127.0.0.2"])
    assert settings == ServerSettings(studies=str(studies), port=9000, host="127.0.0.2", models=settings.models)
    taken = Main().args_parser().parse_args(start.host_arguments(settings))
    assert (taken.app, taken.studies, taken.port, taken.host) == (str(APP_DIR), str(studies), 9000, "127.0.0.2")
    assert taken.uvicorn_app == "label_tasks.server:app"


def test_the_start_script_refuses_as_the_command_does(
    start: Any, studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match=r"Unknown option --cuda-graph\. Did you mean --cuda-graphs\?"):
        start.checked_settings(["--studies", str(studies), "--cuda-graph", "on"])
    monkeypatch.setenv("MEDVLSAM2_CUDA_GRAPH", "on")
    with pytest.raises(InvalidConfig, match=r"MEDVLSAM2_CUDA_GRAPH is no setting\. Did you mean MEDVLSAM2_CUDA_GRAPHS"):
        start.checked_settings(["--studies", str(studies)])


def test_our_server_answers_to_the_further_names(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    from label_tasks.server import build as build_server

    monkeypatch.setenv("MEDVLSAM2_ALLOWED_HOST", "ct.example.org, other")
    client = TestClient(build_server(), raise_server_exceptions=False)
    for name, status in (("ct.example.org", 200), ("other", 200), ("third", 403)):
        assert client.get("/info/", headers={"host": name}).status_code == status
