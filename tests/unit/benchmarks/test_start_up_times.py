"""The benchmark of start-up runs small, and stops where a verb's work would start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medvlsam2.cli.program import VERBS

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "benchmarks" / "start_up.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, encoding="utf-8", check=False)


def test_it_prints_a_row_for_each_verb_with_machine_and_date():
    done = run("--times", "1", "--verbs", "help", "versions", "phantom")
    assert done.returncode == 0, done.stderr
    assert re.match(r".+, \d+ cores · Python 3\.\d+\.\d+ · \d{4}-\d\d-\d\d\n", done.stdout)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line[:1] == "|"
    ]
    assert [row[:2] for row in rows[2:]] == [["--help", "1"], ["versions", "1"], ["phantom", "1"]]
    assert [row[4] for row in rows[2:]] == ["1", "5", "5"]
    for row in rows[2:]:
        assert 0 < float(row[2]) <= float(row[3])
        assert row[5] == ("ok" if float(row[2]) <= float(row[4]) else "LATE")


def test_every_verb_is_measured():
    said = run("--help").stdout
    assert [verb for verb in VERBS if verb not in said] == []


def test_a_verb_that_fails_before_its_work_gives_no_figure(monkeypatch: pytest.MonkeyPatch):
    import start_up

    monkeypatch.setitem(start_up.WORK, "versions", ("medvlsam2.model.version_folders", "no_such_function", ["nano"]))
    monkeypatch.setattr(sys, "argv", ["start_up.py", "--times", "1", "--verbs", "versions"])
    with pytest.raises(SystemExit, match="'versions' did not come to"):
        start_up.main()
