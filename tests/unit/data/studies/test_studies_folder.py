"""A studies folder keeps every version, through a damaged index, a full disk and a second server."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medvlsam2 import errors

INDEX = "datastore_v2.json"


def named(*names: str) -> dict[str, Any]:
    return {"label_info": [{"name": name, "idx": number} for number, name in enumerate(names, start=1)]}


def names_of(folder: Any, image_id: str, tag: str = "final") -> list[str]:
    return [item["name"] for item in folder.label_info(image_id, tag).get("label_info", [])]


def state(root: Path) -> dict[str, bytes]:
    """Return all visible files with their content, without the versions."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if ".versions" not in path.parts[len(root.parts) :]
    }


class TestVersions:
    def test_every_version_can_be_restored_with_its_names(self, opened: Any, label: Any) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        folder.put_label("p1", "final", label("two"), ".nii.gz", named("spleen"))
        for _ in range(2):  # the second changes nothing and is no version
            folder.update_label_info("p1", "final", named("stomach"))
        place = folder.shelf.place("p1", "final")
        kept = [
            (v.number, place.version_file(v.number)[0].read_text(encoding="utf-8"), dict(v.info))
            for v in place.versions()
        ]
        assert [(number, text) for number, text, _ in kept] == [(1, "one"), (2, "two"), (3, "two")]
        assert [info["label_info"][0]["name"] for _, _, info in kept] == ["liver", "spleen", "stomach"]
        folder.restore_label("p1", "final", 1)
        assert (folder.label("p1", "final").path.read_text(encoding="utf-8"), names_of(folder, "p1")) == (
            "one",
            ["liver"],
        )
        assert [version.number for version in place.versions()] == [1, 2, 3, 4]
        folder.restore_label("p1", "final", 2)
        assert (folder.label("p1", "final").path.read_text(encoding="utf-8"), names_of(folder, "p1")) == (
            "two",
            ["spleen"],
        )

    def test_an_unknown_version_is_refused_with_the_known_versions(self, opened: Any, label: Any) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", {})
        with pytest.raises(errors.UnknownLabel, match=r"no version 7\. There are: 1\."):
            folder.restore_label("p1", "final", 7)

    def test_another_suffix_leaves_no_second_file(self, opened: Any, label: Any, root: Path) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("old"), ".nii.gz", named("liver"))
        folder.put_label("p1", "final", label("new", ".nrrd"), ".nrrd", named("spleen"))
        assert [path.name for path in (root / "labels" / "final").glob("p1*")] == ["p1.nrrd"]
        assert (
            json.loads((root / INDEX).read_text(encoding="utf-8"))["objects"]["p1"]["labels"]["final"]["ext"] == ".nrrd"
        )
        folder.restore_label("p1", "final", 1)
        assert [path.name for path in (root / "labels" / "final").glob("p1*")] == ["p1.nii.gz"]
        assert names_of(folder, "p1") == ["liver"]

    def test_a_label_edited_in_place_does_not_change_its_earlier_versions(
        self, opened: Any, label: Any, root: Path
    ) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        folder.put_label("p1", "final", label("two"), ".nii.gz", named("spleen"))
        (root / "labels" / "final" / "p1.nii.gz").write_text("drawn elsewhere", encoding="utf-8")
        folder.refresh()
        assert folder.label("p1", "final").path.read_text(encoding="utf-8") == "drawn elsewhere"
        assert names_of(opened(), "p1") == names_of(folder, "p1") == []  # its names are not known, so it gets none
        assert folder.shelf.place("p1", "final").version_file(1)[0].read_text(encoding="utf-8") == "one"

    def test_removing_keeps_the_versions(self, opened: Any, label: Any, root: Path) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        folder.remove_label("p1", "final")
        assert "final" not in folder.require("p1").labels
        with pytest.raises(errors.UnknownLabel, match="p1"):
            folder.label("p1", "final")
        folder.restore_label("p1", "final", 1)
        assert names_of(opened(), "p1") == ["liver"]

    def test_a_removed_scan_is_kept_aside_with_all_its_labels(self, opened: Any, label: Any, root: Path) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        folder.put_label("p1", "final", label("two"), ".nii.gz", named("spleen"))
        folder.put_label("p1", "draft", label("three"), ".nii.gz", {})
        folder.remove_label("p1", "draft")
        folder.remove_image("p1")
        assert "p1" not in opened().index().objects
        (root / "p1.nii.gz").write_bytes(b"another scan")
        again = opened()
        assert again.require("p1").labels == {}
        assert again.shelf.place("p1", "final").versions() == again.shelf.place("p1", "draft").versions() == []
        (kept,) = (root / ".removed").glob("*-p1")
        assert kept.stat().st_mode & 0o777 == 0o700
        (root / "p1.nii.gz").unlink()
        shutil.copytree(kept, root, dirs_exist_ok=True)
        back = opened()
        assert (back.image_path("p1").read_bytes(), names_of(back, "p1")) == (b"p1", ["spleen"])
        back.restore_label("p1", "final", 1)
        assert names_of(back, "p1") == ["liver"]
        back.restore_label("p1", "draft", 1)


class TestDamage:
    @pytest.mark.parametrize(
        "content", [None, b"", b"\0" * 300, b'{"name": "x", "objec', b"[1]", b'{"objects": 3}', b"\xff"]
    )
    def test_an_index_is_rebuilt_with_the_names(
        self, opened: Any, label: Any, root: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        folder.put_label("p2", "original", label("two", ".nrrd"), ".nrrd", named("left kidney", "spleen"))
        if content is None:
            (root / INDEX).unlink()
        else:
            (root / INDEX).write_bytes(content)
        again = opened()
        assert names_of(again, "p1") == ["liver"]
        assert names_of(again, "p2", "original") == ["left kidney", "spleen"]
        objects = json.loads((root / INDEX).read_text(encoding="utf-8"))["objects"]
        assert objects["p2"]["labels"]["original"]["info"]["label_info"] == named("left kidney", "spleen")["label_info"]
        assert "rebuilt from the files, 3 images and 2 labels, of which 2 have their names" in caplog.text
        damaged = [path.read_bytes() for path in root.glob("datastore_v2.damaged-*.json")]
        assert damaged == ([] if content is None else [content])

    def test_an_index_lost_under_a_running_server_is_written_again(self, opened: Any, label: Any, root: Path) -> None:
        folder = opened()
        folder.update_image_info("p1", {"PatientID": "7"})
        for content in (None, b"garbage"):
            (root / INDEX).unlink()
            if content:
                (root / INDEX).write_bytes(content)
            folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
            stored = json.loads((root / INDEX).read_text(encoding="utf-8"))["objects"]["p1"]
            assert stored["image"]["info"]["PatientID"] == "7"
            assert "final" in stored["labels"]

    def test_one_wrong_entry_does_not_spoil_the_others(self, opened: Any, label: Any, root: Path) -> None:
        opened().put_label("p2", "final", label("one"), ".nii.gz", named("liver"))
        record = json.loads((root / INDEX).read_text(encoding="utf-8"))
        record["objects"]["p1"] = 3
        record["objects"]["p3"]["image"]["info"] = [1]
        record["objects"]["p2"]["image"]["info"]["PatientID"] = "7"
        (root / INDEX).write_text(json.dumps(record), encoding="utf-8")
        index = opened().index()
        assert sorted(index.objects) == ["p1", "p2", "p3"]
        assert index.objects["p2"].image.info["PatientID"] == "7"

    def test_of_two_files_without_an_index_the_newer_is_the_label(self, opened: Any, label: Any, root: Path) -> None:
        opened()
        labels = root / "labels" / "final"
        (labels / "p1.nii.gz").write_text("older", encoding="utf-8")
        (labels / "p1.nrrd").write_text("newer", encoding="utf-8")
        os.utime(labels / "p1.nii.gz", (1_000_000, 1_000_000))
        (root / INDEX).unlink()
        folder = opened()
        assert folder.label("p1", "final").path.read_text(encoding="utf-8") == "newer"
        assert [path.name for path in labels.glob("p1*")] == ["p1.nrrd"]
        place = folder.shelf.place("p1", "final")
        assert [place.version_file(v.number)[0].read_text(encoding="utf-8") for v in place.versions()] == [
            "older",
            "newer",
        ]

    def test_killed_between_label_and_index_the_label_has_its_own_names(
        self, opened: Any, label: Any, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        index = (root / INDEX).read_bytes()
        folder.put_label("p1", "final", label("two!"), ".nii.gz", named("spleen"))
        (root / INDEX).write_bytes(index)
        assert names_of(folder, "p1") == ["spleen"]
        assert names_of(opened(), "p1") == ["spleen"]
        stored = json.loads((root / INDEX).read_text(encoding="utf-8"))["objects"]["p1"]["labels"]["final"]["info"]
        assert stored["label_info"] == named("spleen")["label_info"]


class TestFullDisk:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
    def test_a_failed_write_at_any_step_changes_nothing(self, opened: Any, label: Any, root: Path, code: int) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        before = state(root)
        source = label("two", ".nrrd")
        for step in range(100):
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(errors.StorageFull):
                FullAfter(step, root / INDEX, code).install(patch)
                folder.put_label("p1", "final", source, ".nrrd", named("spleen"))
                break
            assert state(root) == before
            assert names_of(folder, "p1") == ["liver"]
            assert folder.label("p1", "final").path.read_text(encoding="utf-8") == "one"
        assert step > 5
        assert names_of(opened(), "p1") == ["spleen"]

    def test_a_read_only_disk_is_refused_with_a_sentence(self, opened: Any, label: Any, root: Path) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        source = label("two")
        before, disk = state(root), FullAfter(0, root / INDEX, errno.EROFS)
        for change in (
            lambda: folder.put_label("p1", "final", source, ".nii.gz", named("spleen")),
            lambda: folder.restore_label("p1", "final", 1),
            lambda: folder.remove_label("p1", "final"),
            lambda: folder.update_label_info("p1", "final", named("spleen")),
            lambda: folder.update_image_info("p1", {"a": 1}),
        ):
            with pytest.MonkeyPatch.context() as patch:
                make_folder = Path.mkdir  # of a folder that is there, a read-only disk says that it is there
                disk.install(patch)
                patch.setattr(Path, "mkdir", make_folder)
                patch.setattr(Path, "unlink", disk.failing(Path.unlink))
                with pytest.raises(errors.StorageFull, match="cannot be written"):
                    change()
            assert state(root) == before

    def test_a_file_size_limit_of_the_process_is_a_sentence(self, opened: Any, label: Any, root: Path) -> None:
        folder = opened()
        folder.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        large = label("x" * 300_000)
        before = state(root)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(errors.StorageFull, match="no room"):
                folder.put_label("p1", "final", large, ".nii.gz", named("spleen"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert state(root) == before
        folder.put_label("p1", "final", large, ".nii.gz", named("spleen"))
        assert names_of(opened(), "p1") == ["spleen"]

    def test_readers_go_on_when_the_disk_is_full(self, opened: Any, root: Path) -> None:
        folder = opened()
        stored = (root / INDEX).read_bytes()
        (root / "p9.nii.gz").write_bytes(b"new")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            folder.refresh()
            assert "p9" in folder.index().objects
            assert "p9" in opened().index().objects
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (root / INDEX).read_bytes() == stored
        folder.refresh()
        assert "p9" in json.loads((root / INDEX).read_text(encoding="utf-8"))["objects"]


class FullAfter:
    """A disk that is full, or fails, from the n-th write on; a rename over an existing index needs no room."""

    def __init__(self, writes: int, index: Path, code: int = errno.ENOSPC) -> None:
        self.left = writes
        self.index = index
        self.code = code

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(shutil, "copyfile", self.failing(shutil.copyfile))
        patch.setattr(os, "link", self.failing(os.link))
        for name in ("write_text", "write_bytes", "mkdir"):
            patch.setattr(Path, name, self.failing(getattr(Path, name)))
        replace = Path.replace
        patch.setattr(Path, "replace", lambda a, b: replace(a, b) if b == self.index else self.failing(replace)(a, b))
        flush = os.fsync
        patch.setattr(
            os, "fsync", lambda fd: self.failing(flush)(fd) if os.path.isfile(f"/proc/self/fd/{fd}") else None
        )

    def failing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError(self.code, os.strerror(errno.ENOSPC))
            return work(*arguments, **options)

        return run


class TestTwoServers:
    def test_two_servers_keep_each_other_s_labels(self, opened: Any, label: Any) -> None:
        one, two = opened(), opened()
        one.put_label("p1", "final", label("one"), ".nii.gz", named("liver"))
        two.put_label("p2", "final", label("two"), ".nii.gz", named("spleen"))
        one.update_image_info("p3", {"PatientID": "3"})
        two.update_image_info("p3", {"note": "seen"})
        for folder in (one, two, opened()):
            assert names_of(folder, "p1") == ["liver"]
            assert names_of(folder, "p2") == ["spleen"]
            info = folder.require("p3").image.info
            assert (info["PatientID"], info["note"]) == ("3", "seen")
            assert [i for i, item in folder.index().objects.items() if "final" in item.labels] == ["p1", "p2"]

    def test_waiting_too_long_for_the_lock_gives_a_sentence(self, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from filelock import FileLock

        from medvlsam2.data.studies import folder_lock

        monkeypatch.setattr(folder_lock, "WAIT_S", 0.05)
        folder = opened()
        with FileLock(folder.root / ".lock"), pytest.raises(errors.FolderBusy, match="locked by another process"):
            folder.update_image_info("p1", {})


def test_uploads_of_a_killed_server_are_removed(opened: Any, root: Path) -> None:
    folder = opened()
    with folder.incoming("scan.nii.gz") as on_its_way:
        on_its_way.write_text("young", encoding="utf-8")
        old = root / ".incoming" / "old"
        old.mkdir()
        (old / "scan.nii.gz").write_text("of a patient", encoding="utf-8")
        os.utime(old, (1_000_000_000, 1_000_000_000))
        opened()
        assert on_its_way.read_text(encoding="utf-8") == "young"
        assert not old.exists()


def test_an_upload_goes_at_the_next_start_once_its_server_was_killed(opened: Any, root: Path) -> None:
    """At once, though it is young; that of a living server stays."""
    script = (
        "import sys, time; from pathlib import Path; from medvlsam2.data.studies.scan_list import ScanList; "
        "from medvlsam2.data.studies.studies_folder import StudiesFolder; "
        "folder = StudiesFolder(Path(sys.argv[1]), lambda _: ScanList({}))\n"
        "with folder.incoming('scan.nii.gz') as path:\n"
        "    path.write_text('of a patient'); print('there', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, encoding="utf-8")
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        opened()
        assert [path.read_text(encoding="utf-8") for path in (root / ".incoming").rglob("scan.nii.gz")] == [
            "of a patient"
        ]
    finally:
        child.kill()
        child.communicate()
    opened()
    assert list((root / ".incoming").iterdir()) == []


def test_an_image_id_is_given_once(opened: Any, root: Path, tmp_path: Path) -> None:
    folder = opened()
    for image_id, suffix in (("p1", ".nii.gz"), ("p1", ".nrrd")):
        with folder.incoming(f"scan{suffix}") as arrived:
            arrived.write_text("other", encoding="utf-8")
            with pytest.raises(errors.AlreadyThere, match="'p1' exists"):
                folder.add_image(image_id, arrived, suffix, {})
    (root / "p9.nii.gz").write_text("laid in by hand", encoding="utf-8")
    with folder.incoming("scan.nii.gz") as arrived:
        arrived.write_text("other", encoding="utf-8")
        with pytest.raises(errors.AlreadyThere, match="'p9' exists"):
            folder.add_image("p9", arrived, ".nii.gz", {})
    assert [(root / f"{name}.nii.gz").read_bytes() for name in ("p1", "p9")] == [b"p1", b"laid in by hand"]
    assert list((root / ".incoming").iterdir()) == []
    assert (root / ".incoming").stat().st_mode & 0o777 == 0o700
