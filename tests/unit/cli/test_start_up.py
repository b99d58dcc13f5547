"""A command starts at once: slow packages are imported only when they are needed.

Times depend on the machine; which modules a command has imported does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medvlsam2.cli.program import VERBS

LIB = Path(__file__).resolve().parents[3] / "lib"
SLOW = {"torch", "transformers", "numpy", "scipy", "pydantic", "nibabel", "pydicom", "SimpleITK", "matplotlib", "monai"}
RUN = """
import json, sys
from medvlsam2.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def imported(*arguments: str) -> tuple[int, set[str]]:
    """Exit code of a command in a process of its own, and the packages that it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env={**os.environ, "PYTHONPATH": str(LIB)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("argument", ["--help", "--version", "segmnt"])
def test_help_imports_next_to_nothing(argument):
    code, packages = imported(argument)
    assert code == (2 if argument == "segmnt" else 0)
    assert packages & (SLOW | {"jsonargparse", "yaml"}) == set()
    assert ("rich" in packages) == (argument == "segmnt"), "only what is coloured needs it"


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_imports_nothing_slow(verb):
    code, packages = imported(verb, "--help")
    assert code == 0
    assert packages & SLOW == set()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["versions", "nano"], set()),
        (["serve", "--studies", "nowhere"], set()),
        (["train", "--data", "nowhere"], set()),
        (["segment", "nowhere.nii.gz", "--prompt", "liver"], {"numpy", "scipy", "nibabel", "pydicom"}),
        (["report", "nowhere.nii.gz"], {"numpy", "scipy", "nibabel", "pydicom"}),
        (["ask", "nowhere.nii.gz", "Why?"], {"numpy", "scipy", "nibabel", "pydicom"}),
    ],
)
def test_a_verb_begins_before_it_imports_the_model(arguments, allowed):
    """A missing scan is refused before torch is imported, because the scan is read first."""
    code, packages = imported(*arguments)
    assert code == (0 if arguments[0] == "versions" else 2)
    assert (packages & SLOW) - allowed == set()


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["segmnt"], 2), (["versions", "nano"], 0)])
def test_the_installed_command_ends_its_process_with_the_exit_code(arguments, code):
    done = subprocess.run(
        [sys.executable, "-m", "medvlsam2.cli", *arguments], env={**os.environ, "PYTHONPATH": str(LIB)}, check=False
    )
    assert done.returncode == code


def test_a_terminal_without_a_character_still_shows_the_rest():
    poor = {**os.environ, "PYTHONPATH": str(LIB), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "medvlsam2.cli", "versions", "nano"], env=poor, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"hold-out Dice before" in done.stdout
