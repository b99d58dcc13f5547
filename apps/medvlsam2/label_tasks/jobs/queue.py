"""Queue of the server's jobs of one kind: one job runs at a time, a few wait, and clients can ask for their state."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from label_tasks.jobs.child import GRACE_S
from label_tasks.logs.server_paths import without_paths
from medvlsam2.errors import TooMany

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 4
"""Most jobs of one kind that wait. A training takes minutes to hours, so a longer queue would help nobody."""
KEPT: Final = 50
"""Number of jobs whose state is kept; older jobs are forgotten."""
KEPT_LINES: Final = 20
"""Number of the last output lines in a job's state, as in the host's own server."""
MAX_LINE: Final = 500
"""Most characters of such a line."""
KILL_AFTER_S: Final = 5.0
"""After the time in which a process ends by itself, for one that hangs so that it cannot even do that."""

Start = Callable[[str, dict[str, Any]], "subprocess.Popen[str]"]


def _now() -> str:
    return datetime.today().strftime("%Y-%m-%d %H:%M:%S")


@dataclass
class Job:
    """One job and its progress."""

    request: dict[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "SUBMITTED"
    start_ts: str = field(default_factory=_now)
    end_ts: str | None = None
    details: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    def told(self) -> dict[str, Any]:
        """Return the state in the form that the host's clients read."""
        record = {"id": self.id, "status": self.status, "request": self.request, "start_ts": self.start_ts}
        return {**record, **({"end_ts": self.end_ts} if self.end_ts else {}), "details": list(self.details)}


class JobQueue:
    """Jobs of one kind.

    Args:
        method: name of the app's method that a job calls.
        what: name of such a job in messages.
        start: function that starts the process of a job.
    """

    def __init__(self, method: str, what: str, start: Start) -> None:
        self._method = method
        self._what = what
        self._start = start
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque(maxlen=KEPT)
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._process: subprocess.Popen[str] | None = None
        self._worker: threading.Thread | None = None
        self._killer: threading.Timer | None = None

    def add(self, request: dict[str, Any], *, may_wait: bool) -> dict[str, Any]:
        """Start a job, or let it wait.

        Args:
            request: arguments for the app's method; they were checked before.
            may_wait: whether the job may wait for one that runs.

        Raises:
            TooMany: if a job runs and this one may not wait, or if MAX_WAITING jobs wait already.
        """
        with self._changed:
            if (self._running or self._waiting) and not may_wait:
                if self._running is not None and self._running.status == "STOPPED" and not self._waiting:
                    raise TooMany(
                        f"The {self._what} that was stopped finishes its step. Try again in some seconds, or let this "
                        "one wait with enqueue=true."
                    )
                raise TooMany(
                    f"A {self._what} is already running. Wait until it has ended, stop it with DELETE, or let this "
                    "one wait with enqueue=true."
                )
            if len(self._waiting) >= MAX_WAITING:
                raise TooMany(f"{MAX_WAITING} of kind '{self._what}' wait already. Wait until one has ended.")
            job = Job(request)
            self._jobs.append(job)
            self._waiting.append(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name=f"jobs-{self._method}", daemon=True)
                self._worker.start()
            return job.told()

    def running(self) -> dict[str, Any] | None:
        """State of the job that runs; None if none runs."""
        with self._changed:
            return self._running.told() if self._running else None

    def all(self) -> list[dict[str, Any]]:
        """States of the last jobs, oldest first."""
        with self._changed:
            return [job.told() for job in self._jobs]

    def stop(self) -> dict[str, Any] | None:
        """End the job that runs, with all processes that it has started; then the next waiting job starts.

        A training ends after the step that it is in, and its checkpoint; what has not ended in time is killed.
        """
        with self._changed:
            job, process = self._running, self._process
            if job is None:
                return None
            job.status, job.end_ts = "STOPPED", _now()
        if process is not None:
            self._end(process)
        return job.told()

    def stop_all(self) -> None:
        """End the job that runs, and drop the jobs that wait."""
        with self._changed:
            for job in self._waiting:
                job.status, job.end_ts = "STOPPED", _now()
            self._waiting.clear()
        self.stop()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._worker = None
                    return
                job = self._running = self._waiting.popleft()
                job.status = "RUNNING"
            try:
                succeeded = self._run(job)
            except OSError as error:
                succeeded = False
                job.details.append(f"The process could not be started ({error.strerror}).")
            with self._changed:
                self._running = self._process = None
                if job.status == "RUNNING":
                    job.status, job.end_ts = ("DONE" if succeeded else "ERROR"), _now()

    def _run(self, job: Job) -> bool:
        process = self._start(self._method, dict(job.request))
        with self._changed:
            self._process = process
            is_stopped = job.status == "STOPPED"
        if is_stopped:
            self._end(process)
        told = logging.getLogger(f"task_{self._method}")
        assert process.stdout is not None
        assert process.stdin is not None
        while line := process.stdout.readline(MAX_LINE):
            line = line.rstrip()
            if line:
                told.info("%s", line)
                with self._changed:
                    job.details.append(without_paths(line))
        process.stdin.close()
        succeeded = process.wait() == 0
        with self._changed:
            if self._killer is not None:
                self._killer.cancel()
                self._killer = None
                _kill(process)  # processes that the job may have left behind
        return succeeded

    def _end(self, process: subprocess.Popen[str]) -> None:
        """Close the standard input of a process, which tells it to end; kill the process if it does not end in time."""
        with self._changed:
            if self._killer is not None or process.poll() is not None:
                return
            self._killer = threading.Timer(GRACE_S + KILL_AFTER_S, _kill, [process])
            self._killer.daemon = True
            self._killer.start()
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
