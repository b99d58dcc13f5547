"""Files and folders appear whole or not at all, under the name that was asked for."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from medvlsam2 import atomic_files
from medvlsam2.errors import AlreadyThere, StorageFull


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(opened: AbstractContextManager[Path], name: str) -> None:
    with opened as partial:
        (partial / name).write_text("x", encoding="utf-8")
        raise ValueError("half")


@pytest.mark.parametrize("flush", [True, False])
def test_a_file_is_replaced_in_one_step(tmp_path: Path, flush: bool) -> None:
    path = tmp_path / "label.seg.nrrd"
    path.write_text("old", encoding="utf-8")
    with atomic_files.replacing(path, flush=flush) as partial:
        assert partial.parent == tmp_path
        assert partial.name.endswith("label.seg.nrrd"), "writers choose the format by the suffix"
        partial.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["label.seg.nrrd"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="half"):
        write_half(atomic_files.replacing(path), "")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["index.json"]


def test_content_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    flush, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path else "file")
        flush(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        done.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    atomic_files.write_text(tmp_path / "durable", "x")
    assert done == ["file", "name", "folder"]
    done.clear()
    atomic_files.write_text(tmp_path / "quick", "x", flush=False)
    assert done == ["name"]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    atomic_files.write_text(tmp_path / "text", "größer\nals\r\n5 µm\n")
    assert (tmp_path / "text").read_bytes() == "größer\nals\r\n5 µm\n".encode()


def test_a_private_file_is_private_before_it_holds_anything(tmp_path: Path) -> None:
    with atomic_files.replacing(tmp_path / "secret", private=True) as partial:
        assert partial.stat().st_mode & 0o777 == 0o600
        assert partial.stat().st_size == 0
        partial.write_text("x", encoding="utf-8")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_folder_appears_when_all_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "versions" / "v0001"
    with atomic_files.new_folder(path) as partial:
        (partial / "weights").write_text("w", encoding="utf-8")
        assert not path.exists()
    assert names(path) == ["weights"]
    assert names(path.parent) == ["v0001"]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "Dataset001"
    with pytest.raises(ValueError, match="half"):
        write_half(atomic_files.new_folder(path), "a file of it")
    assert names(tmp_path) == []


def test_what_a_killed_process_left_of_a_folder_is_not_in_the_new_one(tmp_path: Path) -> None:
    path, left = tmp_path / "v0001", tmp_path / f"{atomic_files.PARTIAL_PREFIX}v0001"
    left.mkdir()
    (left / "torn").write_text("x", encoding="utf-8")
    with atomic_files.new_folder(path) as partial:
        assert names(partial) == []
    assert names(path) == []
    assert names(tmp_path) == ["v0001"]


def test_a_folder_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "v0001"

    def made_twice() -> None:
        with atomic_files.new_folder(path):
            path.mkdir()
            (path / "theirs").write_text("x", encoding="utf-8")

    with pytest.raises(AlreadyThere, match="'v0001' exists and is never replaced"):
        made_twice()
    assert names(path) == ["theirs"]
    assert names(tmp_path) == ["v0001"]


def test_files_and_folders_get_another_name(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "slice").write_text("x", encoding="utf-8")
    atomic_files.rename(tmp_path / "series", tmp_path / "scan")
    assert names(tmp_path / "scan") == ["slice"]
    with pytest.raises(FileNotFoundError):
        atomic_files.rename(tmp_path / "series", tmp_path / "other")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: atomic_files.write_text(path, "x"),
        lambda path: atomic_files.rename(path.parent / "other", path),
        lambda path: atomic_files.new_folder(path).__enter__(),
    ],
    ids=["write_text", "rename", "new_folder"],
)
def test_a_full_disk_is_told_with_the_name_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, write
) -> None:
    (tmp_path / "other").write_text("x", encoding="utf-8")

    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("write_text", "replace", "mkdir"):
        monkeypatch.setattr(Path, name, full)
    with pytest.raises(StorageFull, match=r"'label\.nii\.gz'.*Nothing was changed.*try again"):
        write(tmp_path / "label.nii.gz")
    monkeypatch.undo()
    assert names(tmp_path) == ["other"]
