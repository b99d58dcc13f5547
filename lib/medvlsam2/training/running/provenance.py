"""Records from which code, data and device the weights of a run come."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

import medvlsam2
from medvlsam2.training.data.cases import Case


def data_hash(cases: Sequence[Case]) -> str:
    """SHA-256 over ids, keys and label maps of all cases, whatever their order."""
    digest = hashlib.sha256()
    for record in sorted(_case_record(case) for case in cases):
        digest.update(record.encode())
    return digest.hexdigest()


def code_version() -> str:
    """Commit of the code, where it runs from a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return medvlsam2.__version__
    return found.stdout.strip()


def device_name() -> str:
    """The GPU, or the processor and its threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _case_record(case: Case) -> str:
    labels = hashlib.sha256(case.labels.tobytes() + case.lesions.tobytes()).hexdigest()
    return f"{case.case_id}\t{','.join(case.keys)}\t{labels}\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
