"""Fetched series take no more of the disk than they may; what is needed stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from label_tasks.pacs.dicomweb import DicomWeb
from label_tasks.pacs.kept import budget
from label_tasks.pacs.series_cache import SeriesCache
from medvlsam2 import atomic_files
from medvlsam2.data.readers import read_volume

from .conftest import SERIES, STUDY, Submit, told, wait_until

ROOT = Path(__file__).resolve().parents[3]
OTHERS = [f"1.2.3.{number}" for number in range(10, 14)]


@pytest.fixture
def cache(client: DicomWeb, cache_folder: Path, pacs: Any, monkeypatch: pytest.MonkeyPatch) -> SeriesCache:
    """A cache with room for two and a half series; the disk has room for more."""
    for uid in OTHERS:
        pacs.add(uid)
    monkeypatch.setattr(budget, "SPARE_BYTES", 0)
    cache = SeriesCache(cache_folder, client)
    cache.limit(size_bytes(pacs) * 5 // 2, frozenset)
    return cache


def size_bytes(pacs: Any) -> int:
    return sum(len(content) for content in pacs.series[SERIES].values())


def age(folder: Path, uid: str, by_s: float = 2 * budget.IN_USE_S) -> None:
    """Set the time of use of a series to long ago."""
    path = folder / f"{uid}.json"
    os.utime(path, (time.time() - by_s,) * 2)


def here(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_the_least_recently_used_go_first(cache: SeriesCache, cache_folder: Path, pacs: Any) -> None:
    for number, uid in enumerate(OTHERS[:2]):
        cache.folder(STUDY, uid)
        age(cache_folder, uid, 2 * budget.IN_USE_S - number)
    cache.folder(STUDY, OTHERS[0])
    age(cache_folder, OTHERS[0], budget.IN_USE_S + 60)  # fetched first, used last
    cache.folder(STUDY, OTHERS[2])
    assert here(cache_folder) == {OTHERS[0], OTHERS[2]}
    assert {path.stem for path in cache_folder.glob("*.json")} == {OTHERS[0], OTHERS[2]}
    asked = pacs.asked["instance"]
    assert read_volume(cache.folder(STUDY, OTHERS[1])).shape_ijk == (8, 8, 6), "it is fetched again when it is needed"
    assert pacs.asked["instance"] == asked + 6


def test_what_was_used_lately_stays_though_it_is_too_much(cache: SeriesCache, cache_folder: Path) -> None:
    for uid in OTHERS:
        cache.folder(STUDY, uid)
    assert here(cache_folder) == set(OTHERS)


def test_a_series_that_is_asked_for_at_the_same_moment_stays(
    cache: SeriesCache, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The series is requested between the check of its age and its removal."""
    for uid in OTHERS[:2]:
        cache.folder(STUDY, uid)
        age(cache_folder, uid)
    rename = atomic_files.rename

    def with_a_reader(path: Path, target: Path, **options: bool) -> None:
        if path.suffix == ".json" and path.exists():
            assert cache.folder(STUDY, path.stem) == cache_folder / path.stem
        rename(path, target, **options)

    monkeypatch.setattr(atomic_files, "rename", with_a_reader)
    cache.folder(STUDY, OTHERS[2])
    monkeypatch.undo()
    assert here(cache_folder) == set(OTHERS[:3])
    assert cache.whole_folder(OTHERS[0]) is not None


def test_no_series_is_removed_during_a_training_or_an_export(cache: SeriesCache, cache_folder: Path) -> None:
    with cache.held(), cache.held():
        for uid in OTHERS[:3]:
            cache.folder(STUDY, uid)
            age(cache_folder, uid)
        cache.folder(STUDY, SERIES)
        assert here(cache_folder) == {*OTHERS[:3], SERIES}
    cache.folder(STUDY, OTHERS[3])
    assert len(here(cache_folder)) == 2


def test_a_process_that_trains_keeps_its_scans_until_it_ends(
    cache: SeriesCache, cache_folder: Path, pacs: Any, tmp_path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from label_tasks.pacs.address import PacsAddress\n"
        "from label_tasks.pacs.datastore import PacsDatastore\n"
        "store = PacsDatastore(PacsAddress(sys.argv[1]), Path(sys.argv[2]), 1.0, lambda name: None)\n"
        "store.refresh(); print(store.get_image_uri(sys.argv[3]), flush=True); sys.stdin.read()\n"
    )
    path = os.pathsep.join((str(ROOT / "lib"), str(ROOT / "apps" / "medvlsam2")))
    process = subprocess.Popen(
        [sys.executable, "-c", script, pacs.url, str(tmp_path / "cache"), SERIES],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert folder.is_dir()
    shared = SeriesCache(folder.parent, cache._pacs)
    age(folder.parent, SERIES)
    shared.limit(1, frozenset)
    assert folder.is_dir()
    process.stdin.close()
    process.wait(timeout=20)
    shared.limit(1, frozenset)
    assert not folder.exists()


def test_a_series_with_a_label_that_waits_stays(
    opened: Any, submit: Submit, pacs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SPARE_BYTES", 0)
    for uid in OTHERS[:2]:
        pacs.add(uid)
    store = opened(limit_bytes=size_bytes(pacs) * 3 // 2)
    series = Path(store.get_image_uri(SERIES)).parent
    pacs.refuses_storing = True
    submit(store, {3: 4})
    assert told(store)["state"] == "waiting for the PACS"
    age(series, SERIES)
    store.get_image_uri(OTHERS[0])
    age(series, OTHERS[0])
    store.get_image_uri(OTHERS[1])
    assert here(series) == {SERIES, OTHERS[1]}, "the newer one went"
    pacs.refuses_storing = False
    wait_until(lambda: told(store)["state"] == "in the PACS")
    for uid in (SERIES, OTHERS[1]):
        age(series, uid)
    store.get_image_uri(OTHERS[0])
    assert here(series) == {OTHERS[0]}
    assert store.get_labeled_images() == [SERIES], "its label stays"


def test_an_export_holds_what_it_has_fetched(opened: Any, submit: Submit, pacs: Any, tmp_path: Path) -> None:
    """Labelled series together larger than the budget: all are in the archive."""
    for uid in OTHERS[:2]:
        pacs.add(uid)
    store = opened(limit_bytes=1)
    for uid in (SERIES, *OTHERS[:2]):
        submit(store, {3: 4}, image=uid)
    series = Path(store.get_image_uri(SERIES)).parent
    blocks = store.archive(None)
    for uid in (SERIES, *OTHERS[:2]):
        age(series, uid)
    pacs.add(OTHERS[2])
    store.refresh()
    store.get_image_uri(OTHERS[2])
    (tmp_path / "all.zip").write_bytes(b"".join(blocks))
    names = zipfile.ZipFile(tmp_path / "all.zip").namelist()
    assert sum(name.endswith(".dcm") for name in names) == 18
    pacs.add(OTHERS[3])
    store.refresh()
    store.get_image_uri(OTHERS[3])
    assert here(series) == {OTHERS[2], OTHERS[3]}, "afterwards they go"


def test_a_label_whose_scan_cannot_be_had_is_listed_as_left_out(
    opened: Any, submit: Submit, pacs: Any, tmp_path: Path
) -> None:
    pacs.add(OTHERS[0])
    store = opened()
    for uid in (SERIES, OTHERS[0]):
        submit(store, {3: 4}, image=uid)
    shutil.rmtree(store.get_image_uri(OTHERS[0]))
    pacs.answer_with = 503
    (tmp_path / "all.zip").write_bytes(b"".join(store.archive(None)))
    archive = zipfile.ZipFile(tmp_path / "all.zip")
    assert not [name for name in archive.namelist() if OTHERS[0] in name]
    metadata = next(name for name in archive.namelist() if name.endswith("metadata.json"))
    (left_out,) = json.loads(archive.read(metadata))["left_out"]
    assert left_out.startswith(f"Image '{OTHERS[0]}': Its scan is not on this machine")


def test_a_disk_that_fills_up_counts_as_well(
    cache: SeriesCache, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.folder(STUDY, OTHERS[0])
    age(cache_folder, OTHERS[0])
    monkeypatch.setattr(budget, "SPARE_BYTES", 2**60)
    cache.folder(STUDY, OTHERS[1])
    assert here(cache_folder) == {OTHERS[1]}


def test_files_of_killed_processes_are_removed(cache: SeriesCache, cache_folder: Path, pacs: Any, opened: Any) -> None:
    cache.folder(STUDY, SERIES)
    (cache_folder / "1.2.3.50").mkdir()
    (cache_folder / "1.2.3.50" / "a.dcm").write_bytes(b"x")
    old, new = cache_folder / ".partial-0-a.json", cache_folder / ".partial-1-a.json"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    cache.clear_unfinished()
    assert here(cache_folder) == {SERIES}
    assert (old.exists(), new.exists()) == (False, True)
    root = opened(starts=False).data_dir
    (root / ".seg-1").mkdir()
    (root / ".seg-1" / "label.nii.gz").write_bytes(b"x")
    (root / ".seg-2").mkdir()
    (root / "sent" / ".partial-2-a.json").write_bytes(b"x")
    for old in (root / ".seg-1", root / "sent" / ".partial-2-a.json"):
        os.utime(old, (1, 1))
    opened()
    assert [path.name for path in root.glob(".seg-*")] == [".seg-2"]
    assert not list((root / "sent").glob(".partial-*"))
