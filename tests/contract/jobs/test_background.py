"""A training steps back behind the server: its threads, its priority, and who is ended first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from label_tasks.jobs.background import THREAD_VARIABLES

APP = Path(__file__).resolve().parents[3] / "apps" / "medvlsam2"
TOLD = (
    "import json, os, sys; sys.path.insert(0, sys.argv[1]);"
    "from label_tasks.jobs.background import step_back; step_back(); step_back();"
    "assert 'torch' not in sys.modules; import torch;"
    "print(json.dumps([torch.get_num_threads(), os.getpriority(os.PRIO_PROCESS, 0),"
    " int(open('/proc/self/oom_score_adj').read())]))"
)


@pytest.mark.parametrize("given", [None, "1", "1000", "many"])
def test_a_training_takes_half_of_the_cores_and_goes_last(given: str | None) -> None:
    """In a process of its own, since no process may become important again."""
    environment = dict(os.environ)
    for name in THREAD_VARIABLES:
        environment.pop(name, None)
    if given is not None:
        environment["OMP_NUM_THREADS"] = given
    cores = len(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", TOLD, str(APP)], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    threads, niceness, oom_score = json.loads(done.stdout)
    assert threads == (1 if given == "1" else max(1, cores // 2))
    assert niceness == max(10, os.getpriority(os.PRIO_PROCESS, 0))
    assert oom_score >= 500
