"""Requirements of a GPU on a training step, without a GPU: all tensors on the device, no synchronisation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medvlsam2.training.data.cases import Case

LANGUAGE = ("model.py", "reader.py", "masking_utils.py")
"""Where the language model and transformers still count tokens on the device."""


@pytest.fixture(scope="module")
def taken(tiny_model_dir: Path, tiny_case: Case) -> dict[str, dict[str, list[str]]]:
    """Devices of the results, waits and mixtures of devices, for each kind of step."""
    lib = Path(__file__).parents[3] / "lib"
    found = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fake_gpu.py")), str(tiny_model_dir), str(tiny_case.folder)],
        env={**os.environ, "PYTHONPATH": str(lib)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert found.returncode == 0, found.stderr
    kinds: dict[str, dict[str, list[str]]] = json.loads(found.stdout.splitlines()[-1])
    return kinds


def test_every_kind_of_step_runs_on_the_device_alone(taken: dict[str, dict[str, list[str]]]) -> None:
    with_masks = {"alignment", "dense", "masks", "clip"}
    assert set(taken) == {"text", "copy", "reading", "conversation", *with_masks, "tasks", "distil", "picture"}
    for kind, record in taken.items():
        assert record["devices"], kind
        assert set(record["devices"]) == {"fakegpu"}, kind
        assert record["mixtures"] == [], kind


def test_the_host_does_not_wait_for_the_device(taken: dict[str, dict[str, list[str]]]) -> None:
    for kind, record in taken.items():
        assert [wait for wait in record["waits"] if not wait.split(" in ")[1].startswith(LANGUAGE)] == [], kind
