"""Rooms stay small: few files in a folder, few lines in a file, and each room says what is in it."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lib/medvlsam2", "apps/medvlsam2/label_tasks")
MAX_FILES = 14
MAX_LINES = 400


def python_files(*folders: str) -> list[Path]:
    """Python files of the repository, whether committed already or about to be."""
    patterns = [f"{folder}/*.py" for folder in folders] or ["*.py"]
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if listing.returncode:
        pytest.skip("This is not a git checkout, so the files of the repository are not known.")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_folder_holds_more_files_than_one_overlooks() -> None:
    rooms: dict[Path, int] = {}
    for path in python_files(*PACKAGES, "apps/medvlsam2"):
        rooms[path.parent] = rooms.get(path.parent, 0) + 1
    assert len(rooms) > 40
    assert {str(room.relative_to(ROOT)): count for room, count in rooms.items() if count > MAX_FILES} == {}


def test_no_file_is_longer_than_the_house_allows() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert len(lengths) > 500
    assert {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_room_says_what_is_in_it() -> None:
    files = python_files(*PACKAGES)
    rooms = sorted({path.parent for path in files})
    silent = []
    for room in rooms:
        init = room / "__init__.py"
        text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) if init.is_file() else None
        if text is None or len(text.split()) < 5:
            silent.append(str(room.relative_to(ROOT)))
    assert silent == []
