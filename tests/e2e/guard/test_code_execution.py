"""Nothing that a client sends is run: sessions hold scans alone, jobs start in an environment of the server's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

EVIL = "import pathlib; pathlib.Path({!r}).write_text('run')\n"


def wait_for_end(target: Any, path: str) -> dict[str, Any]:
    for _ in range(600):
        state = requests.get(target.url + path, timeout=60).json()
        if state.get("status") not in {"SUBMITTED", "RUNNING"}:
            return dict(state)
        time.sleep(0.2)
    pytest.fail(f"The job did not end: {state}")


@pytest.mark.parametrize("name", ["sitecustomize.py", "usercustomize.py", "x.pth", "torch.so", "evil.nii.gz/../a.py"])
def test_a_session_takes_no_code(target: Any, zipped: Callable[..., bytes], tmp_path: Path, name: str) -> None:
    evil = EVIL.format(str(tmp_path / "ran")).encode()
    base = name.rsplit("/", 1)[-1]
    for files, query in (
        ([("files", (name, evil))], {}),
        ([("files", ("s.zip", zipped({base: evil})))], {"uncompress": "true"}),
    ):
        reply = requests.put(f"{target.url}/session/", params=query, files=files, timeout=60)
        assert reply.status_code in {400, 422}, reply.text
    held = [path.name for path in Path(target.folder, "sessions").rglob("*")]
    assert not [each for each in held if each.endswith((".py", ".pth", ".so"))]


def test_code_beside_a_scan_loses_its_name(
    target: Any, zipped: Callable[..., bytes], scan_bytes: bytes, tmp_path: Path
) -> None:
    evil = EVIL.format(str(tmp_path / "ran")).encode()
    reply = requests.put(
        f"{target.url}/session/",
        params={"uncompress": "true"},
        files={"files": ("s.zip", zipped({"scan.nii.gz": scan_bytes, "sitecustomize.py": evil}))},
        timeout=60,
    )
    assert reply.status_code == 200
    assert str(target.folder) not in reply.text
    held = list(Path(target.folder, "sessions", reply.json()["session_id"]).rglob("*"))
    assert not [path for path in held if path.name.endswith(".py")]


@pytest.mark.parametrize("path", ["/train/medvlsam2_finetune", "/train/", "/batch/infer/medvlsam2_semantic"])
@pytest.mark.parametrize(
    "body",
    [
        {"bundle_path": "/tmp"},
        {"PYTHONPATH": "/tmp"},
        {"gpus": "0; rm -rf /"},
        {"local_rank": 1},
        {"model": "../x"},
        {"max_epochs": 10**9},
        {"max_epochs": True},
        {"max_epochs": "5"},
        {"label_tag": "final"},
        {"images": ["/etc/passwd"]},
    ],
    ids=str,
)
def test_a_job_takes_only_what_is_listed(target: Any, path: str, body: dict[str, Any]) -> None:
    before = requests.get(f"{target.url}/{path.split('/')[1]}/", timeout=60).text
    reply = requests.post(target.url + path, json=body, timeout=60)
    assert reply.status_code == 400, reply.text
    assert next(iter(body)) in reply.json()["detail"]
    assert requests.get(f"{target.url}/{path.split('/')[1]}/", timeout=60).text == before


@pytest.mark.parametrize("path", ["/train/medvlsam2_finetune", "/train/", "/batch/infer/medvlsam2_report", "/scoring/"])
def test_nothing_runs_on_the_event_loop(target: Any, path: str) -> None:
    start_s = time.monotonic()
    reply = requests.post(f"{target.url}{path}?run_sync=true", timeout=60)
    assert (reply.status_code, "run_sync" in reply.json()["detail"]) == (400, True)
    assert requests.get(f"{target.url}/info/", timeout=60).ok
    assert time.monotonic() - start_s < 30


@pytest.mark.parametrize("path", ["/train/nothing", "/scoring/nothing", "/batch/infer/nothing"])
def test_an_unknown_job_is_refused_with_a_sentence(target: Any, path: str) -> None:
    reply = requests.post(target.url + path, json={}, timeout=60)
    assert (reply.status_code, "'nothing'" in reply.json()["detail"]) == (404, True)


def test_a_job_runs_in_the_servers_own_environment(target: Any) -> None:
    """One runs, four may wait, no more; states tell no path; without labels it ends with a sentence."""
    url = f"{target.url}/train/medvlsam2_finetune"
    first = requests.post(url, json={"max_epochs": 2, "client_id": "ann"}, timeout=60)
    assert first.status_code == 200, first.text
    assert first.json()["request"] == {"model": "medvlsam2_finetune", "max_epochs": 2}
    second = requests.post(url, json={}, timeout=60)
    assert (second.status_code, "enqueue" in second.json()["detail"]) == (429, True)
    replies = [requests.post(f"{url}?enqueue=true", json={}, timeout=60).status_code for _ in range(6)]
    assert replies[-1] == 429
    assert 3 <= replies.count(200) <= 5
    for _ in range(8):
        requests.delete(f"{target.url}/train/", timeout=60)
        time.sleep(0.1)
    states = requests.get(f"{target.url}/train/?all=true", timeout=60).json()
    while any(state["status"] in {"SUBMITTED", "RUNNING"} for state in states):
        requests.delete(f"{target.url}/train/", timeout=60)
        time.sleep(0.1)
        states = requests.get(f"{target.url}/train/?all=true", timeout=60).json()
    assert requests.post(url, json={}, timeout=60).status_code == 200
    ended = wait_for_end(target, "/train/")
    assert ended["status"] == "ERROR"
    assert any("0 submitted labels" in line for line in ended["details"]), ended
    assert str(target.folder) not in str(ended)
    assert requests.get(f"{target.url}/train/?check_if_running=true", timeout=60).status_code == 404
