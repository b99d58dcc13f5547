"""The log is of one server, for its user alone, and shows no folder of the machine."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from label_tasks.logs.any_path import without_any_path
from label_tasks.logs.private_log import PrivateLog


def test_a_server_shows_the_log_of_itself_alone(
    target: Any, start: Callable[..., Any], tmp_path: Path, tiny_model_dir: Path
) -> None:
    """Two servers of one install with one folder of logs, as an operator starts them."""
    studies = tmp_path / "studies-of-another"
    studies.mkdir()
    logs = target.folder / "logs"
    with start(tmp_path / "server", str(studies), tiny_model_dir, MEDVLSAM2_LOGS=str(logs)) as other:
        told = other.get("/logs/?text=true&lines=5000").text
    assert "App Init - completed" in told
    mine = target.get("/logs/?text=true&lines=5000").text
    assert "App Init - completed" in mine
    for text, foreign in ((told, target), (mine, other)):
        assert Path(foreign.studies).name not in text or Path(foreign.studies).name == "studies"
        assert f"[{foreign.process_id}]" not in text
    files = [path for path in logs.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["app.log", "app.log", "in-use", "in-use"]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not any(" /" in line or "'/" in line for line in mine.splitlines())


def test_a_log_is_private_after_a_rollover_as_well(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    before = os.umask(0o022)
    try:
        handler = PrivateLog(log, maxBytes=200, backupCount=2)
        for number in range(40):
            handler.emit(logging.LogRecord("x", logging.INFO, "", 0, f"line {number} of a log", None, None))
        handler.close()
    finally:
        os.umask(before)
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Read /srv/scans/a.nii.gz now", "Read …/a.nii.gz now"),
        ("folder /srv/Mrs Secret/ct/a.nii.gz", "folder …/a.nii.gz"),
        ("'/srv/Mrs Secret/ct'", "'…/ct'"),
        ("path=/srv/Secret/a.nii, in:/srv/Secret/b.nii", "path=…/a.nii, in:…/b.nii"),
        ("file:///srv/Secret/a.nii", "…/a.nii"),
        (r"C:\Users\Secret\a.nii", "…/a.nii"),
        ('File "/usr/lib/x.py", line 3', 'File "…/x.py", line 3'),
        ("(/srv/Secret)", "(…/Secret)"),
        ("http://127.0.0.1:8042/dicom-web/studies and 3 mm/s", "http://127.0.0.1:8042/dicom-web/studies and 3 mm/s"),
        ("lung/liver took 3 s", "lung/liver took 3 s"),
    ],
)
def test_absolute_paths_of_any_kind_are_cut(line: str, shown: str) -> None:
    assert without_any_path(line) == shown
