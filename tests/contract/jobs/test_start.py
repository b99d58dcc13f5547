"""Checks at start: an incomplete login is refused, and patient files of a killed server are removed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from label_tasks.jobs import starter
from label_tasks.uploads.private_files import ServerTemp

ROOT = Path(__file__).resolve().parents[3]
APP_DIR = ROOT / "apps" / "medvlsam2"
CODE = os.pathsep.join((str(ROOT / "lib"), str(APP_DIR)))
SERVED_FOR_EVER = """
import sys, tempfile, time
from label_tasks.uploads.private_files import ServerTemp
temporary = ServerTemp()
temporary.use()
(temporary.folder / "scan.nii.gz").write_bytes(b"a patient")
print(temporary.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", ["environment", "file"])
def test_an_incomplete_login_stops_the_start(tmp_path: Path, way: str) -> None:
    environment = {**os.environ, "PYTHONPATH": CODE}
    if way == "environment":
        environment["MONAI_LABEL_AUTH_ENABLE"] = "true"
    else:
        (tmp_path / ".env").write_text("MONAI_LABEL_AUTH_ENABLE=true\n", encoding="utf-8")
    command = [sys.executable, str(APP_DIR / "serve.py"), "--studies", str(tmp_path), "--port", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 2
    (sentence,) = done.stderr.strip().splitlines()[-1:]
    assert "MONAI_LABEL_AUTH_ENABLE" in sentence
    assert "has no login" in sentence
    assert "Traceback" not in done.stderr


def test_files_of_a_killed_server_are_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "PYTHONPATH": CODE, "TMPDIR": str(tmp_path)}

    def server() -> tuple[subprocess.Popen[str], Path]:
        command = [sys.executable, "-c", SERVED_FOR_EVER]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    killed, left = server()
    running, kept = server()
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=30)
        assert (left / "scan.nii.gz").is_file()
        assert stat.S_IMODE(left.stat().st_mode) == 0o700
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        foreign = tmp_path / "of-another"
        foreign.mkdir()
        mine = ServerTemp()
        assert not left.exists()
        assert (kept / "scan.nii.gz").is_file()
        mine.remove()
        assert sorted(tmp_path.iterdir()) == sorted([kept, foreign])
    finally:
        running.kill()
        running.wait(timeout=30)


def test_a_job_gets_no_variable_that_python_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "LD_PRELOAD", "BASH_ENV"):
        monkeypatch.setenv(name, "/tmp/evil")
    monkeypatch.setenv("MONAI_LABEL_STUDIES", "/studies")
    environment = starter.environment()
    assert environment["MONAI_LABEL_STUDIES"] == "/studies"
    assert "PATH" in environment
    assert "/tmp/evil" not in environment.values()


def test_a_jobs_python_imports_nothing_beside_it(tmp_path: Path) -> None:
    """Started from a folder with code in it, under the names that Python looks for by itself, none of it is run."""
    for name in ("sitecustomize.py", "usercustomize.py", "json.py", "torch.py", "monailabel.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n", encoding="utf-8")
    order = '{"code": [], "app_dir": "", "studies": "", "conf": {}, "method": "train", "request": {}}\n'
    subprocess.run(
        [sys.executable, "-I", str(starter.SCRIPT)],
        cwd=tmp_path,
        env={**starter.environment(), "PYTHONPATH": str(tmp_path)},
        input=order,
        encoding="utf-8",
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert not (tmp_path / "ran").exists()
