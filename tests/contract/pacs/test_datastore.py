"""Images and labels of a PACS: stored here first, sent as DICOM SEG, counted by image."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from label_tasks.pacs.datastore import PacsDatastore
from medvlsam2.data.dicom_seg import read_seg
from medvlsam2.data.readers import read_volume
from medvlsam2.errors import (
    DatasetError,
    GeometryMismatch,
    InvalidRequest,
    PacsUnavailable,
    UnknownImage,
    UnreadableVolume,
)

from .conftest import SERIES, SLICER, told, wait_until

Open = Callable[..., PacsDatastore]


def names_and_voxels(store: PacsDatastore, seg: pydicom.Dataset) -> dict[str, int]:
    volume = read_volume(store.get_image_uri(SERIES))
    return {facts.name: facts.voxels for facts in read_seg(seg, volume.shape_ijk, volume.affine).segments}


def test_images_are_series_of_the_pacs_and_read_as_files(opened: Open, pacs: Any) -> None:
    pacs.add("1.2.3.5", modality="MR")
    store = opened()
    assert store.list_images() == [SERIES]
    assert read_volume(store.get_image_uri(SERIES)).shape_ijk == (8, 8, 6)
    assert store.get_image_info(SERIES)["StudyInstanceUID"] == "1.2.3.1"
    assert store.get_image_uri("1.2.3.77") == ""


def test_names_are_sent_to_the_pacs_by_value(opened: Open, submit: Any, pacs: Any) -> None:
    """Two of three names are painted: by rank they would be "left kidney" and "spleen"."""
    store = opened()
    submit(store, {2: 1, 3: 4}, client_id="anna")
    (seg,) = pacs.segs()
    assert names_and_voxels(store, seg) == {"spleen": 12, "liver": 12}
    assert (seg.SeriesDescription, {item.SegmentAlgorithmType for item in seg.SegmentSequence}) == (
        "final by anna",
        {"MANUAL"},
    )
    assert told(store)["state"] == "in the PACS"
    assert told(store)["SOPInstanceUID"] == seg.SOPInstanceUID


def test_labels_made_with_a_model_name_the_model(opened: Open, submit: Any, pacs: Any) -> None:
    store = opened()
    submit(store, {3: 4}, model="m")
    item = pacs.segs()[0].SegmentSequence[0]
    assert (item.SegmentAlgorithmType, item.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "nano")
    assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "v2"


def test_a_stored_result_that_was_submitted_unchanged_is_automatic(opened: Open, submit: Any, pacs: Any) -> None:
    store = opened()
    result: dict[str, Any] = {
        "model_id": "nano",
        "model_version": "v1",
        "label_names": {"spleen": 2, "liver": 3, "left kidney": 1},
    }
    submit(store, {1: 1, 2: 2, 3: 4}, tag="original", params=result)
    submit(store, {1: 5, 3: 4})
    kinds = {item.SegmentLabel: item.SegmentAlgorithmType for item in pacs.segs()[0].SegmentSequence}
    assert kinds == {"left kidney": "MANUAL", "liver": "AUTOMATIC"}
    assert len(pacs.segs()) == 1, "results stay here"


def test_a_label_that_is_submitted_again_replaces(opened: Open, submit: Any, pacs: Any) -> None:
    store = opened()
    submit(store, {2: 1}, client_id="anna")
    submit(store, {3: 4}, client_id="anna")
    first, second = pacs.segs()
    assert second.SeriesDescription == "final by anna, revision 2"
    predecessor = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert (store.status()["completed"], store.status()["total"]) == (1, 1)


def test_a_pacs_that_is_away_gets_the_label_later_even_from_the_next_server(
    opened: Open, submit: Any, pacs: Any
) -> None:
    store = opened()
    store.get_image_uri(SERIES)
    pacs.answer_with = 503
    began_s = time.monotonic()
    submit(store, {3: 4})
    assert time.monotonic() - began_s < 5
    assert told(store)["state"] == "waiting for the PACS"
    wait_until(lambda: told(store)["attempts"] >= 2)
    assert "HTTP 503" in told(store)["reason"]
    assert store.status()["pacs"]["labels_waiting"] == 1
    assert store.status()["completed"] == 1
    assert store.json()["objects"][SERIES]["labels"]["final"]["info"]["pacs"]["state"] == "waiting for the PACS"
    again = opened()
    assert told(again)["state"] == "waiting for the PACS"
    pacs.answer_with = 200
    wait_until(lambda: told(again)["state"] == "in the PACS")
    assert names_and_voxels(again, pacs.segs()[0]) == {"liver": 12}
    assert len(pacs.segs()) == 1


def test_a_label_is_stored_though_its_scan_cannot_be_had(opened: Open, submit: Any, pacs: Any, tmp_path: Path) -> None:
    """The label was drawn elsewhere; the PACS is unreachable before this server has fetched the scan."""
    store = opened()
    values = np.zeros((8, 8, 6), np.uint8)
    values[1:3, 1:3, 2] = 3
    affine = np.diag([-1.5, -1.5, 2.0, 1.0])
    affine[2, 3] = 2.0
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "label.nii.gz")
    pacs.hang()
    (tmp_path / "junk.nii.gz").write_bytes(b"this is no label")
    with pytest.raises(UnreadableVolume):
        store.submit_label(SERIES, tmp_path / "junk.nii.gz", "final", {"label_info": SLICER})
    answer = store.submit_label(SERIES, tmp_path / "label.nii.gz", "final", {"label_info": SLICER})
    assert "not compared with its scan" in answer["warnings"][0]
    assert answer["pacs"]["state"] == "waiting for the PACS"
    pacs.wake()
    wait_until(lambda: told(store)["state"] == "in the PACS")
    assert names_and_voxels(store, pacs.segs()[0]) == {"liver": 4}


def write_label(path: Path, value: int = 3) -> Path:
    """A label on the grid of the fake PACS's series, annotated where the scan was."""
    values = np.zeros((8, 8, 6), np.uint8)
    values[1:3, 1:3, 2] = value
    affine = np.diag([-1.5, -1.5, 2.0, 1.0])
    affine[2, 3] = 2.0
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def test_a_label_is_stored_though_this_server_never_saw_its_pacs(opened: Open, pacs: Any, tmp_path: Path) -> None:
    """No list of images, no scan: the label is kept under the id that it came with, and sent when the PACS is there."""
    pacs.answer_with = 503
    store = opened()
    assert store.list_images() == []
    with pytest.raises(PacsUnavailable) as away:
        store.refresh()
    store.expect_image(SERIES, away.value)
    answer = store.submit_label(SERIES, write_label(tmp_path / "a.nii.gz"), "final", {"label_info": SLICER})
    assert "not compared with its scan" in answer["warnings"][0]
    assert answer["pacs"]["state"] == "waiting for the PACS"
    assert store.get_labeled_images() == [SERIES]
    with pytest.raises(PacsUnavailable, match="is not here"):
        store.get_image_uri(SERIES)
    again = opened()
    assert told(again)["state"] == "waiting for the PACS", "a restart keeps it"
    wait_until(lambda: "HTTP 503" in told(again).get("reason", ""))
    pacs.answer_with = 200
    wait_until(lambda: told(again)["state"] == "in the PACS")
    assert names_and_voxels(again, pacs.segs()[0]) == {"liver": 4}


def test_a_label_of_a_series_that_turns_out_to_be_unknown_stays_here(opened: Open, pacs: Any, tmp_path: Path) -> None:
    pacs.answer_with = 503
    store = opened()
    for strange in ("../up", "DOE_JOHN_1950", "1.2.3.", "1..2", "1." * 40 + "1", "1.2\n"):
        with pytest.raises(PacsUnavailable, match="away"):
            store.expect_image(strange, PacsUnavailable("away"))
    store.expect_image("1.2.3.77", PacsUnavailable("away"))
    store.submit_label("1.2.3.77", write_label(tmp_path / "a.nii.gz"), "final", {"label_info": SLICER})
    pacs.answer_with = 200
    wait_until(lambda: "is not in the PACS" in told(store, "1.2.3.77").get("reason", ""))
    assert told(store, "1.2.3.77")["state"] == "waiting for the PACS"
    assert np.unique(nib.load(store.get_label_uri("1.2.3.77", "final")).get_fdata()).tolist() == [0, 3]
    with pytest.raises(UnknownImage, match="Labels of it are kept here"):
        store.get_image_uri("1.2.3.77")
    assert not pacs.stored


def test_a_refused_label_leaves_no_image_behind(opened: Open, pacs: Any, tmp_path: Path) -> None:
    pacs.answer_with = 503
    store = opened()
    store.expect_image("1.2.3.77", PacsUnavailable("away"))
    (tmp_path / "junk.nii.gz").write_bytes(b"this is no label")
    with pytest.raises(UnreadableVolume):
        store.submit_label("1.2.3.77", tmp_path / "junk.nii.gz", "final", {"label_info": SLICER})
    pacs.answer_with = 200
    wait_until(lambda: store.list_images() == [SERIES])


@pytest.mark.parametrize("away", [False, True])
def test_a_series_that_the_pacs_has_lost_still_takes_its_label_where_it_is_here(
    opened: Open, pacs: Any, submit: Any, tmp_path: Path, away: bool
) -> None:
    """The series is annotated while it is deleted or moved in the PACS."""
    pacs.add("1.2.3.5")
    store = opened()
    assert read_volume(store.get_image_uri(SERIES)).shape_ijk == (8, 8, 6)
    del pacs.series[SERIES]
    wait_until(lambda: store.list_images() == ["1.2.3.5"])
    pacs.answer_with = 503 if away else 200
    why = PacsUnavailable("away") if away else UnknownImage("unknown")
    store.expect_image(SERIES, why)
    store.submit_label(SERIES, write_label(tmp_path / "a.nii.gz"), "final", {"label_info": SLICER})
    pacs.answer_with = 200
    wait_until(lambda: told(store)["state"] == "in the PACS")
    with pytest.raises(UnknownImage, match="unknown"):
        store.expect_image("1.2.3.6", UnknownImage("unknown"))


def test_a_seg_that_somebody_took_out_of_the_pacs_is_told(opened: Open, submit: Any, pacs: Any) -> None:
    """The label is kept, is not sent again by itself, and its state does not claim that it is in the PACS."""
    store = opened()
    submit(store, {3: 4})
    (seg,) = pacs.segs()
    wait_until(lambda: pacs.asked["metadata"])
    time.sleep(0.5)
    content = pacs.series.pop(str(seg.SeriesInstanceUID))
    wait_until(lambda: told(store)["state"] == "not in the PACS any more")
    assert told(opened())["state"] == "not in the PACS any more", "a restart does not forget it"
    pacs.series[str(seg.SeriesInstanceUID)] = content
    store = opened()
    wait_until(lambda: told(store)["state"] == "in the PACS")
    pacs.series.pop(str(seg.SeriesInstanceUID))
    wait_until(lambda: told(store)["state"] == "not in the PACS any more")
    assert len(pacs.stored) == 1
    store.restore_label(SERIES, "final", 1)
    wait_until(lambda: told(store)["state"] == "in the PACS")
    assert len(pacs.segs()) == 1


def test_a_lost_answer_stores_no_second_seg(opened: Open, submit: Any, pacs: Any) -> None:
    store = opened()
    pacs.dies_after_storing = True
    submit(store, {3: 4})
    assert told(store)["state"] == "waiting for the PACS"
    pacs.dies_after_storing = False
    wait_until(lambda: told(store)["state"] == "in the PACS")
    assert len(pacs.stored) > 1
    assert len(pacs.segs()) == 1


def test_a_bad_label_is_refused_and_changes_nothing(opened: Open, submit: Any, pacs: Any, tmp_path: Path) -> None:
    store = opened()
    submit(store, {2: 1})
    with pytest.raises(DatasetError, match="does not say for certain"):
        submit(store, {7: 1})
    nib.save(nib.Nifti1Image(np.ones((8, 8, 5), np.uint8), np.eye(4)), tmp_path / "other.nii.gz")
    with pytest.raises(GeometryMismatch):
        store.save_label(SERIES, str(tmp_path / "other.nii.gz"), "final", {"label_info": SLICER})
    assert len(pacs.segs()) == 1
    assert np.unique(nib.load(store.get_label_uri(SERIES, "final")).get_fdata()).tolist() == [0, 2]


def test_images_are_counted_and_not_segs(opened: Open, submit: Any, pacs: Any) -> None:
    """Six scans, two of them labelled, one of these by two people: three series of SEGs."""
    for number in range(10, 15):
        pacs.add(f"1.2.3.{number}")
    store = opened()
    submit(store, {2: 1}, client_id="anna")
    submit(store, {2: 2}, client_id="ben")
    submit(store, {3: 1}, image="1.2.3.10")
    assert len({seg.SeriesInstanceUID for seg in pacs.segs()}) == 3
    wait_until(lambda: pacs.asked["metadata"] >= 3)
    assert {key: store.status()[key] for key in ("total", "completed")} == {"total": 6, "completed": 2}
    assert sorted(store.get_labeled_images()) == sorted([SERIES, "1.2.3.10"])
    assert len(store.get_unlabeled_images()) == 4


def test_a_server_that_lost_its_cache_finds_its_labels_in_the_pacs(
    opened: Open, submit: Any, pacs: Any, tmp_path: Path
) -> None:
    for values in ({2: 1}, {3: 4}):
        before = opened()
        submit(before, values, client_id="anna")
        before.stop()
    other = opened(cache=tmp_path / "other")
    wait_until(lambda: other.get_labeled_images() == [SERIES])
    label = nib.load(other.get_label_uri(SERIES, "final")).get_fdata()
    names = {item["idx"]: item["name"] for item in other.get_label_info(SERIES, "final")["label_info"]}
    (value,) = (int(value) for value in np.unique(label) if value)
    assert names[value] == "liver", "the newest one holds"
    assert np.argwhere(label).mean(axis=0).tolist() == [2.0, 3.5, 4.0]
    time.sleep(0.5)
    assert len(pacs.segs()) == 2, "it is not sent back"
    other.remove_label(SERIES, "final")
    assert other.get_labeled_images() == [], "removed here, it does not come back"


def test_segs_that_the_host_wrote_give_a_warning_and_are_not_used(opened: Open, submit: Any, pacs: Any) -> None:
    pacs.take(host_seg(pacs))
    store = opened()
    wait_until(lambda: "warnings" in store.get_image_info(SERIES))
    (sentence,) = store.get_image_info(SERIES)["warnings"]
    assert "names segments by their rank" in sentence
    assert store.get_labeled_images() == []
    assert store.get_label_uri(SERIES, "final") == ""
    submit(store, {3: 4})
    ours = next(seg for seg in pacs.segs() if seg.SeriesDescription != "AIName")
    predecessor = ours.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == "1.2.3.44.1"
    wait_until(lambda: "warnings" not in store.get_image_info(SERIES))


def test_manual_segs_of_other_programs_are_labels(opened: Open, pacs: Any, submit: Any, tmp_path: Path) -> None:
    submit(opened(), {2: 1})
    (seg,) = pacs.segs()
    seg.Manufacturer = seg.ManufacturerModelName = "Some Viewer"
    pacs.series[str(seg.SeriesInstanceUID)] = {str(seg.SOPInstanceUID): content_of(seg)}
    other = opened(cache=tmp_path / "other")
    wait_until(lambda: other.get_labeled_images() == [SERIES])
    seg.SegmentSequence[0].SegmentAlgorithmType = "AUTOMATIC"
    pacs.series[str(seg.SeriesInstanceUID)] = {str(seg.SOPInstanceUID): content_of(seg)}
    third = opened(cache=tmp_path / "third")
    wait_until(lambda: pacs.asked["metadata"] >= 2)
    time.sleep(0.3)
    assert third.get_labeled_images() == []


def test_lists_never_wait_for_the_pacs(opened: Open, pacs: Any) -> None:
    opened()
    pacs.hang()
    store = opened(starts=False)
    began_s = time.monotonic()
    assert store.list_images() == [SERIES], "as it was seen last"
    assert store.status()["total"] == 1
    assert time.monotonic() - began_s < 0.3
    with pytest.raises(PacsUnavailable):
        store.refresh()


def test_a_new_series_is_seen_when_it_is_asked_for(opened: Open, pacs: Any) -> None:
    store = opened(starts=False)
    assert store.list_images() == []
    store.refresh()
    assert store.list_images() == [SERIES]


def test_a_series_that_has_grown_is_read_whole(opened: Open, pacs: Any) -> None:
    store = opened()
    assert read_volume(store.get_image_uri(SERIES)).shape_ijk == (8, 8, 6)
    pacs.add(first=7, slices=2)
    wait_until(lambda: read_volume(store.get_image_uri(SERIES)).shape_ijk == (8, 8, 8))


def test_scans_are_changed_in_the_pacs_alone(opened: Open) -> None:
    store = opened(starts=False)
    with pytest.raises(InvalidRequest, match="Send the scan there"):
        store.add_image("a", "a.nii.gz", {})
    with pytest.raises(InvalidRequest, match="Remove the scan there"):
        store.remove_image(SERIES)


def test_a_killed_server_sends_what_it_had_answered(opened: Open, submit: Any, pacs: Any, tmp_path: Path) -> None:
    """Stored by a process that sends nothing, as one that was killed right after its answer."""
    opened()
    store = opened(starts=False)
    submit(store, {3: 4})
    assert not pacs.segs()
    after = opened()
    wait_until(lambda: told(after)["state"] == "in the PACS")
    assert names_and_voxels(after, pacs.segs()[0]) == {"liver": 12}


def host_seg(pacs: Any) -> bytes:
    """As the host's export writes them: names by rank, every type the spleen's."""
    from label_tasks.pacs.label_segs import as_bytes
    from medvlsam2.data.dicom_seg import write_seg
    from medvlsam2.data.label_maps import LabelMap

    headers = [pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)) for content in pacs.series[SERIES].values()]
    values = np.zeros((8, 8, 6), np.uint16)
    values[2, 2, 2] = 1
    affine = np.diag([-1.5, -1.5, 2.0, 1.0])
    affine[2, 3] = 2.0
    seg = write_seg(headers, LabelMap(values, affine, {1: "left kidney"}))
    seg.SeriesDescription, seg.ContentDescription = "AIName", "MONAI Label - Image segmentation"
    seg.Manufacturer = seg.ManufacturerModelName = "QIICR"
    seg.SeriesInstanceUID, seg.SOPInstanceUID = "1.2.3.44", "1.2.3.44.1"
    seg.file_meta.MediaStorageSOPInstanceUID = "1.2.3.44.1"
    seg.SegmentSequence[0].SegmentAlgorithmName = "MONAILABEL"
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "78961009"
    return as_bytes(seg)


def content_of(seg: pydicom.Dataset) -> bytes:
    from label_tasks.pacs.label_segs import as_bytes

    return as_bytes(seg)
