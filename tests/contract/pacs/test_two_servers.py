"""Two servers on one cache folder: each label reaches the PACS once, and both tell the same of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Submit, told, wait_until

ROOT = Path(__file__).resolve().parents[3]
SERIES = "1.2.3.2"

_SERVER = """
import sys, time
from pathlib import Path
from label_tasks.pacs import sender
from label_tasks.pacs.address import PacsAddress
from label_tasks.pacs.datastore import PacsDatastore

sender.FIRST_WAIT_S, sender.POLL_S = 0.05, 0.05
store = PacsDatastore(PacsAddress(sys.argv[1], read_s=5.0), Path(sys.argv[2]), 0.2, lambda name: None)
store.start()
Path(sys.argv[2], "ready").touch()
sys.stdin.read()
store.stop()
"""


@pytest.fixture
def other(pacs: Any, tmp_path: Path) -> Iterator[None]:
    """A server in another process, on the same cache and PACS."""
    path = os.pathsep.join((str(ROOT / "lib"), str(ROOT / "apps" / "medvlsam2")))
    cache = tmp_path / "cache"
    cache.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, pacs.url, str(cache)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
    )
    wait_until((cache / "ready").exists, 60)
    yield
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=20)


def test_each_label_is_sent_once(opened: Any, submit: Submit, pacs: Any, other: None) -> None:
    """Both were running when the labels came; the PACS takes its time with each."""
    pacs.stores_in_s = 0.2
    for number in range(10, 12):
        pacs.add(f"1.2.3.{number}")
    store = opened()
    images = [SERIES, *(f"1.2.3.{number}" for number in range(10, 12))]
    for image in images:
        submit(store, {3: 4}, image=image)
    wait_until(lambda: not store.status()["pacs"]["labels_waiting"])
    time.sleep(0.5)  # the other one has looked some ten times meanwhile
    assert len(pacs.stored) == len(images)
    assert {str(seg.ReferencedSeriesSequence[0].SeriesInstanceUID) for seg in pacs.segs()} == set(images)


def test_a_revision_replaces_the_one_that_was_sent_whoever_sends(
    opened: Any, submit: Submit, pacs: Any, other: None
) -> None:
    """This process only stores, as a training's does: the other one sends, and this one tells of it."""
    store = opened(starts=False)
    store.refresh()
    for value in (2, 3):
        submit(store, {value: 4})
        wait_until(lambda: told(store)["state"] == "in the PACS")
    first, second = pacs.segs()
    predecessor = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert told(store)["SOPInstanceUID"] == second.SOPInstanceUID


def test_a_label_of_the_pacs_is_taken_once(opened: Any, submit: Submit, pacs: Any, tmp_path: Path, other: None) -> None:
    """The SEG is from a server elsewhere; both here see it, and neither sends it back."""
    elsewhere = opened(cache=tmp_path / "elsewhere")
    submit(elsewhere, {3: 4})
    elsewhere.stop()
    store = opened()
    wait_until(lambda: store.get_labeled_images() == [SERIES])
    assert store.get_label_uri(SERIES, "final")
    time.sleep(0.6)
    assert [str(seg.SOPInstanceUID) for seg in pacs.segs()] == [told(store)["SOPInstanceUID"]]
    assert len(pacs.stored) == 1
