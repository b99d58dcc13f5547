"""Under MEDVLSAM2_E2E_REQUIRED=1 a skipped end-to-end test fails, and nothing else does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

E2E_FILE = """
import pytest

def test_without_browser():
    pytest.skip("no browser")

def test_without_scans(shared_data):
    raise AssertionError

@pytest.mark.xfail(reason="known")
def test_known_failure():
    raise AssertionError

def test_that_runs():
    pass
"""
SELF_SKIPPING_FILE = "import pytest\npytest.skip('no PACS', allow_module_level=True)\n"
UNIT_FILE = "import pytest\n\ndef test_unit():\n    pytest.skip('no GPU')\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A small test suite with this repository's conftest."""
    folder = tmp_path / "repository"
    (folder / "tests" / "e2e").mkdir(parents=True)
    (folder / "tests" / "unit").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests" / "e2e" / "test_browser.py").write_text(E2E_FILE, encoding="utf-8")
    (folder / "tests" / "e2e" / "test_pacs.py").write_text(SELF_SKIPPING_FILE, encoding="utf-8")
    (folder / "tests" / "unit" / "test_unit.py").write_text(UNIT_FILE, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("required", "counts"),
    [
        ("1", {"failed=1", "passed=1", "skipped=2", "xfailed=1", "error=1"}),
        ("0", {"passed=1", "skipped=4", "xfailed=1"}),
    ],
)
def test_skips_in_the_two_modes(suite: Path, required: str, counts: set[str]) -> None:
    environment = {
        **os.environ,
        "MEDVLSAM2_E2E_REQUIRED": required,
        "MEDVLSAM2_DATA": str(suite / "absent"),
        "PYTEST_ADDOPTS": "",
    }
    command = [sys.executable, "-m", "pytest", "tests", "--color=no", "-p", "no:cacheprovider"]
    command.append("--continue-on-collection-errors")
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, encoding="utf-8", check=False)
    words = done.stdout.strip().splitlines()[-1].strip("= ").split(" in ")[0].split(", ")
    assert {f"{kind}={number}" for number, kind in (word.split() for word in words)} == counts, done.stdout
    assert (done.returncode != 0) == (required == "1")
