"""A series of the PACS is whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from label_tasks.pacs.dicomweb import DicomWeb
from label_tasks.pacs.series_cache import SeriesCache
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import PacsUnavailable, UnknownImage, UnreadableVolume

ROOT = Path(__file__).resolve().parents[3]
STUDY, SERIES = "1.2.3.1", "1.2.3.2"


@pytest.fixture
def cache(client: DicomWeb, cache_folder: Path) -> SeriesCache:
    return SeriesCache(cache_folder, client)


def test_files_are_what_the_pacs_holds_and_are_fetched_once(cache: SeriesCache, pacs: Any) -> None:
    folder = cache.folder(STUDY, SERIES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{uid}.dcm": content for uid, content in pacs.series[SERIES].items()
    }
    assert read_volume(folder).shape_ijk == (8, 8, 6)
    assert cache.folder(STUDY, SERIES) == folder
    assert pacs.asked["instance"] == 6


def test_only_the_user_of_the_server_can_open_the_cache(cache: SeriesCache) -> None:
    folder = cache.folder(STUDY, SERIES)
    assert [(path.stat().st_mode & 0o077) for path in (folder.parent, folder)] == [0, 0]


def test_the_list_of_instances_may_come_in_pages(cache: SeriesCache, pacs: Any) -> None:
    pacs.page = 4
    assert len(list(cache.folder(STUDY, SERIES).iterdir())) == 6


def test_a_pacs_that_dies_in_the_middle_leaves_nothing(cache: SeriesCache, cache_folder: Path, pacs: Any) -> None:
    pacs.dies_after_instances = 2
    with pytest.raises(PacsUnavailable, match="PACS cannot be asked"):
        cache.folder(STUDY, SERIES)
    assert not (cache_folder / SERIES).exists()
    assert not list(cache_folder.glob(".fetching-*"))
    pacs.dies_after_instances = None
    assert read_volume(cache.folder(STUDY, SERIES)).shape_ijk == (8, 8, 6)


@pytest.mark.parametrize("cut", [40, 700, -3])
def test_an_answer_that_ends_early_is_no_instance(cache: SeriesCache, pacs: Any, cut: int) -> None:
    pacs.cuts_after_bytes = cut if cut > 0 else len(pacs.series[SERIES][f"{SERIES}.1"]) + 40
    with pytest.raises(PacsUnavailable, match=r"in the middle|hold no DICOM instance"):
        cache.folder(STUDY, SERIES)


def test_a_kill_in_the_middle_leaves_nothing_that_is_read(cache_folder: Path, pacs: Any, client: DicomWeb) -> None:
    """The fetching process gets no chance to clear up."""
    pacs.add(slices=40)
    script = (
        "import sys; from pathlib import Path\n"
        "from label_tasks.pacs.address import PacsAddress\n"
        "from label_tasks.pacs.dicomweb import DicomWeb\n"
        "from label_tasks.pacs.series_cache import SeriesCache\n"
        f"SeriesCache(Path({str(cache_folder)!r}), DicomWeb(PacsAddress({pacs.url!r}))).folder({STUDY!r}, {SERIES!r})\n"
    )
    path = os.pathsep.join((str(ROOT / "lib"), str(ROOT / "apps" / "medvlsam2")))
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path})
    beside = cache_folder / f".fetching-{SERIES}"
    while not (beside.is_dir() and len(list(beside.iterdir())) >= 3):
        assert process.poll() is None
        if pacs.asked["instance"] >= 5:
            pacs.hang()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pacs.wake()
    assert beside.is_dir(), "it was killed in the middle"
    again = SeriesCache(cache_folder, client)
    again.clear_unfinished()
    assert not beside.exists()
    assert read_volume(again.folder(STUDY, SERIES)).shape_ijk == (8, 8, 40)


def test_a_file_that_is_lost_or_short_is_seen_before_it_is_used(cache: SeriesCache, pacs: Any) -> None:
    folder = cache.folder(STUDY, SERIES)
    (folder / f"{SERIES}.3.dcm").unlink()
    assert read_volume(cache.folder(STUDY, SERIES)).shape_ijk == (8, 8, 6)
    with (folder / f"{SERIES}.4.dcm").open("r+b") as file:
        file.truncate(300)
    assert read_volume(cache.folder(STUDY, SERIES)).shape_ijk == (8, 8, 6)
    (folder / "stranger.dcm").write_bytes(b"x")
    assert len(list(cache.folder(STUDY, SERIES).iterdir())) == 6


def test_without_the_pacs_a_damaged_series_is_refused_and_a_whole_one_used(cache: SeriesCache, pacs: Any) -> None:
    folder = cache.folder(STUDY, SERIES)
    pacs.answer_with = 500
    assert cache.folder(STUDY, SERIES) == folder
    (folder / f"{SERIES}.3.dcm").unlink()
    with pytest.raises(PacsUnavailable, match="HTTP 500"):
        cache.folder(STUDY, SERIES)


def test_a_series_that_has_grown_is_fetched_anew(cache: SeriesCache, pacs: Any) -> None:
    """It was opened while the scanner still sent it."""
    assert read_volume(cache.folder(STUDY, SERIES, expected=6)).shape_ijk == (8, 8, 6)
    pacs.add(first=7, slices=3)
    assert read_volume(cache.folder(STUDY, SERIES, expected=9)).shape_ijk == (8, 8, 9)


def test_fewer_instances_than_the_pacs_says_to_hold_are_refused(cache: SeriesCache, pacs: Any) -> None:
    pacs.says_more_by = 3
    with pytest.raises(PacsUnavailable, match="has 9 instances, and lists 6"):
        cache.folder(STUDY, SERIES, expected=9)
    pacs.says_more_by = 0
    assert read_volume(cache.folder(STUDY, SERIES, expected=9)).shape_ijk == (8, 8, 6), "three were removed there"
    assert cache.folder(STUDY, SERIES, expected=6)
    assert pacs.asked["instance"] == 6, "fetched once"


def test_no_search_of_a_viewer_reaches_the_log(client: DicomWeb, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        client.series(PatientName="Fake^One")
    assert "Fake" not in caplog.text


def test_simultaneous_requests_share_one_fetch(cache: SeriesCache, pacs: Any) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(cache.folder(STUDY, SERIES))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), pacs.asked["instance"]) == (5, 6)


def test_an_instance_of_another_series_is_refused(cache: SeriesCache, pacs: Any) -> None:
    pacs.add("1.2.3.3")
    pacs.series[SERIES][f"{SERIES}.2"] = pacs.series["1.2.3.3"]["1.2.3.3.2"]
    with pytest.raises(UnreadableVolume, match=r"1\.2\.3\.3\.2"):
        cache.folder(STUDY, SERIES)


@pytest.mark.parametrize("uid", ["../up", "..", ".", "", "a/b", "1.2\n", "x" * 65])
def test_only_a_uid_is_accepted_as_a_series(cache: SeriesCache, uid: str) -> None:
    with pytest.raises(UnknownImage, match="no DICOM UID"):
        cache.folder(STUDY, uid)


def test_a_series_without_instances_is_unknown(cache: SeriesCache) -> None:
    with pytest.raises(UnknownImage, match="no instances"):
        cache.folder(STUDY, "1.2.3.99")


def test_a_pacs_that_hangs_is_given_up_and_not_waited_for_again(cache: SeriesCache, pacs: Any) -> None:
    pacs.hang()
    with pytest.raises(PacsUnavailable, match=r"within 0\.5 seconds"):
        cache.folder(STUDY, SERIES)
    began_s = time.monotonic()
    with pytest.raises(PacsUnavailable, match="has just not answered"):
        cache.folder(STUDY, SERIES)
    assert time.monotonic() - began_s < 0.3
