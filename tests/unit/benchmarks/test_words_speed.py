"""The benchmark of questions and reports: memory of child processes, and copies of a scan that differ."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import words_speed

from medvlsam2.data.volume import CTVolume


def test_memory_of_child_processes_is_counted():
    before = words_speed._peak_bytes()
    text = "import sys; held = bytearray(50_000_000); print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"ready"
        assert words_speed._peak_bytes() - before > 50_000_000
    finally:
        child.communicate()
    assert words_speed._status(words_speed.Path(f"/proc/{os.getpid()}")) is not None


def test_copies_of_a_scan_differ():
    volume = CTVolume(np.zeros((4, 4, 4), dtype=np.int16), np.eye(4), "scan")
    copies = [words_speed._copy(volume, name) for name in ("question", "report")]
    assert copies[0].content_hash != copies[1].content_hash


def test_the_table_tells_what_is_not_met(capsys):
    words_speed._show({"question, unseen": 13.0, "report, again": 7.0}, {"report": "No."}, 2_000_000_000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| question, unseen | 13.00 s | 12 s | no |"
    assert lines[3].endswith("| 8 s | yes |")
    assert lines[4] == "| peak memory | 2.00 GB | 3 GB | yes |"
