"""One job of each kind runs and a few wait in order; further jobs are refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from label_tasks.jobs import queue as queues
from label_tasks.jobs.queue import KEPT, MAX_WAITING, JobQueue
from medvlsam2.errors import TooMany

WAIT_S = 60
JOB = "import sys\nprint('started', flush=True)\nsys.exit(0 if 'good' in sys.stdin.readline() else 7)"


@pytest.fixture
def started() -> list[subprocess.Popen[str]]:
    return []


@pytest.fixture
def queue(started: list[subprocess.Popen[str]]) -> JobQueue:
    """A queue whose jobs are processes that end on request."""

    def start(_: str, __: dict[str, Any]) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", JOB], start_new_session=True, **pipes))
        return started[-1]

    return JobQueue("train", "training", start)


STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\ntime.sleep(600)"
)


def until(condition: Callable[[], Any]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.02)


def tell(process: subprocess.Popen[str], how: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{how}\n")
    process.stdin.flush()


def test_one_job_runs_and_a_bounded_number_waits(queue: JobQueue, started: list[subprocess.Popen[str]]) -> None:
    try:
        queue.add({"n": 0}, may_wait=False)
        until(lambda: started and queue.running())
        with pytest.raises(TooMany, match="A training is already running"):
            queue.add({"n": -1}, may_wait=False)
        for number in range(1, MAX_WAITING + 1):
            queue.add({"n": number}, may_wait=True)
        for _ in range(1000):
            with pytest.raises(TooMany, match=f"{MAX_WAITING} of kind 'training' wait already"):
                queue.add({"n": -1}, may_wait=True)
        assert len(started) == 1
        assert [job["request"]["n"] for job in queue.all()] == list(range(MAX_WAITING + 1))
        until(lambda: queue.all()[0]["details"] == ["started"])
        tell(started[0], "good")
        until(lambda: len(started) == 2)
        tell(started[1], "bad")
        until(lambda: len(started) == 3)
        assert [job["status"] for job in queue.all()][:2] == ["DONE", "ERROR"]
        stopped = queue.stop()
        assert stopped is not None
        assert (stopped["status"], stopped["request"]) == ("STOPPED", {"n": 2})
        until(lambda: started[2].poll() is not None)
    finally:
        queue.stop_all()
    until(lambda: queue.running() is None)
    statuses = [job["status"] for job in queue.all()]
    assert statuses[:3] == ["DONE", "ERROR", "STOPPED"]
    assert set(statuses[3:]) == {"STOPPED"}
    assert all(process.poll() is not None for process in started)


def test_the_state_of_so_many_is_remembered() -> None:
    def cannot(_: str, __: dict[str, Any]) -> subprocess.Popen[str]:
        raise OSError(2, "No such file")

    queue = JobQueue("scoring", "scoring", cannot)
    for number in range(KEPT + 5):
        queue.add({"n": number}, may_wait=True)
        until(lambda: queue.running() is None and queue.all()[-1]["status"] == "ERROR")
    told = queue.all()
    assert [job["request"]["n"] for job in told] == list(range(5, KEPT + 5))
    assert told[0]["details"] == ["The process could not be started (No such file)."]


class TestStop:
    def test_a_job_that_is_stopped_ends_by_itself(
        self, queue: JobQueue, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its input is closed, and it does what it has to do before it ends; no signal comes."""
        monkeypatch.setattr(queues, "GRACE_S", 600.0)
        queue.add({}, may_wait=False)
        until(lambda: started and queue.all()[0]["details"] == ["started"])
        queue.stop()
        until(lambda: queue.running() is None)
        assert started[0].returncode == 7
        assert queue.all()[0]["status"] == "STOPPED"

    def test_one_that_does_not_end_is_killed_with_all_that_it_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queues, "GRACE_S", 0.1)
        monkeypatch.setattr(queues, "KILL_AFTER_S", 0.1)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", STUBBORN]
        queue = JobQueue("train", "training", lambda *_: subprocess.Popen(command, start_new_session=True, **pipes))
        queue.add({}, may_wait=False)
        until(lambda: queue.all()[0]["details"])
        child = Path(f"/proc/{queue.all()[0]['details'][0]}")
        assert child.exists()
        queue.stop()
        until(lambda: queue.running() is None)
        until(lambda: not child.exists() or "Z" in (child / "stat").read_text(encoding="utf-8").split()[2])
