"""Starts the process of a job, in an environment that no request can change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from monailabel.config import settings

import medvlsam2

SCRIPT: Final = Path(__file__).with_name("child.py")
APP_DIR: Final = Path(__file__).resolve().parents[2]

KEPT: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
)
KEPT_STARTS: Final = ("MONAI_LABEL_", "MEDVLSAM2_", "OMP_", "MKL_", "CUDA_", "NVIDIA_", "PYTORCH_", "XDG_CACHE_")
"""The server's environment variables that a job's process gets: paths of programs, home and libraries, and settings."""


def start(method: str, request: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a process that calls a method of the app.

    Args:
        method: "train", "batch_infer" or "scoring".
        request: arguments of the method; they were checked before.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", str(SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environment(),
        start_new_session=True,
    )
    order = {
        "code": [str(Path(medvlsam2.__file__).resolve().parents[1]), str(APP_DIR)],
        "app_dir": settings.MONAI_LABEL_APP_DIR,
        "studies": settings.MONAI_LABEL_STUDIES,
        "conf": settings.MONAI_LABEL_APP_CONF,
        "method": method,
        "request": request,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return process


def environment() -> dict[str, str]:
    """Return the environment variables of a job's process; the address of the studies is the one at the job's start."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_STARTS)}
    return {**kept, "MONAI_LABEL_DATASTORE_AUTO_RELOAD": "false"}
