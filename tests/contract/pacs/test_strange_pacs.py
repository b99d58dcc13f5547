"""A PACS that answers with pages, drop by drop, with more each time, or with SEGs of other scans."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from label_tasks.pacs import dicomweb
from label_tasks.pacs.answers import stow_answer
from label_tasks.pacs.dicomweb import DicomWeb
from label_tasks.pacs.label_segs import as_bytes
from label_tasks.pacs.series_cache import SeriesCache
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import DatasetError, GeometryMismatch, PacsUnavailable

from .conftest import SERIES, STUDY, Submit, told, wait_until


def test_a_web_page_does_not_count_as_stored(opened: Any, submit: Submit, pacs: Any) -> None:
    """A proxy answers every request with its login page and HTTP 200."""
    store = opened()
    store.get_image_uri(SERIES)
    pacs.html = True
    submit(store, {3: 4})
    wait_until(lambda: told(store).get("reason"))
    assert told(store)["state"] == "waiting for the PACS"
    pacs.html = False
    wait_until(lambda: told(store)["state"] == "in the PACS")
    assert len(pacs.segs()) == 1


def test_a_web_page_instead_of_a_scan_is_an_error_of_the_pacs(client: DicomWeb, cache_folder: Path, pacs: Any) -> None:
    pacs.html = True
    with pytest.raises(PacsUnavailable, match="cannot be asked"):
        client.series(Modality="CT")
    with pytest.raises(PacsUnavailable, match="instead of a DICOM instance"):
        client.fetch(STUDY, SERIES, f"{SERIES}.1", cache_folder.with_name("a.dcm"))


def test_an_answer_drop_by_drop_ends_in_time(
    opened: Any, submit: Submit, pacs: Any, client: DicomWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte arrives within the idle timeout, but the answer never ends."""
    monkeypatch.setattr(dicomweb, "ANSWER_LIMIT_S", 0.6)
    monkeypatch.setattr(dicomweb, "REFUSED_FOR_S", 0.0)
    store = opened()
    store.get_image_uri(SERIES)
    pacs.drips_s = 0.3
    for ask in (
        lambda: client.series(Modality="CT"),
        lambda: client.store(dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), "1.2"), b"x"),
    ):
        began_s = time.monotonic()
        with pytest.raises(PacsUnavailable):
            ask()
        assert time.monotonic() - began_s < 5
    pacs.drips_s = 0.0
    submit(store, {3: 4})
    wait_until(lambda: told(store)["state"] == "in the PACS")


def test_a_series_that_grows_while_it_is_fetched_is_not_answered_from(
    client: DicomWeb, cache_folder: Path, pacs: Any
) -> None:
    """The scanner is still sending: six slices are listed, and nine are there when these have come."""
    cache = SeriesCache(cache_folder, client)
    pacs.grows_by = 3
    with pytest.raises(PacsUnavailable, match="still on its way"):
        cache.folder(STUDY, SERIES, expected=6)
    assert not (cache_folder / SERIES).exists()
    assert read_volume(cache.folder(STUDY, SERIES, expected=9)).shape_ijk == (8, 8, 9)


@pytest.mark.parametrize("uid", ["../../up", "a/b", "", "1.2 3", "1" * 65, "é"])
def test_a_text_that_is_no_uid_never_becomes_an_image(opened: Any, pacs: Any, uid: str) -> None:
    pacs.add(uid)
    store = opened()
    assert store.list_images() == [SERIES]


def test_a_pacs_that_takes_no_notice_of_a_search_makes_no_images_of_segs(
    opened: Any, submit: Submit, pacs: Any
) -> None:
    pacs.add("1.2.3.5", modality="MR")
    pacs.takes_no_notice = True
    store = opened()
    submit(store, {3: 4})
    wait_until(lambda: pacs.asked["metadata"])
    store.refresh()
    assert store.list_images() == [SERIES]
    assert pacs.asked["metadata"] == 1, "headers of the SEG alone are asked for"


def foreign_seg(pacs: Any, change: Any) -> Dataset:
    """The SEG that was sent from here, as somebody else's that was changed."""
    (seg,) = pacs.segs()
    pacs.series.pop(str(seg.SeriesInstanceUID))
    pacs.modalities.pop(str(seg.SeriesInstanceUID))
    seg.Manufacturer = seg.ManufacturerModelName = "Some Viewer"
    seg.SeriesInstanceUID, seg.SOPInstanceUID = "1.2.3.60", "1.2.3.60.1"
    seg.file_meta.MediaStorageSOPInstanceUID = "1.2.3.60.1"
    change(seg)
    pacs.take(as_bytes(seg))
    return seg


def test_a_seg_of_another_frame_of_reference_is_not_taken(
    opened: Any, submit: Submit, pacs: Any, tmp_path: Path
) -> None:
    """The SEG names the series and its grid fits, but its frame of reference is of another examination."""
    submit(opened(), {2: 1})
    foreign_seg(pacs, lambda seg: setattr(seg, "FrameOfReferenceUID", "1.2.3.999"))
    other = opened(cache=tmp_path / "other")
    wait_until(lambda: other.get_labeled_images() == [SERIES])
    with pytest.raises(GeometryMismatch, match="another frame of reference"):
        other.get_label_uri(SERIES, "final")
    assert other.get_labeled_images() == [], "it waits for somebody who annotates it"
    assert "another frame of reference" in other.get_image_info(SERIES)["warnings"][0]
    assert opened(cache=tmp_path / "other").get_labeled_images() == [], "after a restart as well"


def test_a_seg_with_overlapping_segments_gives_a_warning(
    opened: Any, submit: Submit, pacs: Any, tmp_path: Path
) -> None:
    def overlap(seg: Dataset) -> None:
        for group in seg.PerFrameFunctionalGroupsSequence:
            group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 4.0]

    submit(opened(), {2: 1, 3: 4})
    foreign_seg(pacs, overlap)
    other = opened(cache=tmp_path / "other")
    wait_until(lambda: other.get_labeled_images() == [SERIES])
    with pytest.raises(DatasetError, match="share voxels"):
        other.get_label_uri(SERIES, "final")
    assert "share voxels" in other.get_image_info(SERIES)["warnings"][0]
    submit(other, {3: 4})
    wait_until(lambda: told(other)["state"] == "in the PACS")
    wait_until(lambda: "warnings" not in other.get_image_info(SERIES))


def test_an_answer_to_storing_is_read_without_trust() -> None:
    stored = b'{"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}'
    assert stow_answer.confirmed(stored, "1.2")
    assert not stow_answer.confirmed(stored, "1.3")
    for answer in (b"", b"{}", b"[]", b"[" * 100000, b'{"00081199": 7}', b'{"00081199": {"Value": [null]}}', b"<a/>"):
        assert not stow_answer.confirmed(answer, "1.2")
        assert not stow_answer.refused(answer)
    failed = b'{"00081198": {"Value": [{"00081155": {"Value": ["1.2"]}, "00081197": {"Value": [%d]}}]}}'
    assert stow_answer.refused(failed % 49442)
    assert not stow_answer.refused(failed % 273)
    assert stow_answer.confirmed(failed % 273, "1.2")
