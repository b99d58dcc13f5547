"""A server that is killed while it stores labels loses none that it acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WRITER = Path(__file__).with_name("killed_writer.py")
LIB = Path(__file__).resolve().parents[4] / "lib"


def test_forty_kills_lose_nothing_that_was_acknowledged(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(WRITER), str(root), "7"],
        env={**os.environ, "PYTHONPATH": str(LIB)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == 40
    assert sum(record["acknowledged"] for record in rounds) > 10
    assert sum(record["stored"] > record["acknowledged"] or not record["stored"] for record in rounds) > 0
    for record in rounds:
        assert record["images"] == 43
        if record["acknowledged"]:
            assert record["stored"] - record["acknowledged"] in {0, 1}
        if record["stored"]:
            assert record["whole"]
            assert record["name"] == f"n{record['stored']}"
            assert set(range(1, record["acknowledged"] + 1)) <= set(record["kept"])
            assert record["partial"] == []
