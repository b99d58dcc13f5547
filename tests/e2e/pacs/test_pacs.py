"""Scans in Orthanc: read as files are, labelled by value, and nothing lost when the cable is pulled."""

from __future__ import annotations

import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk

from medvlsam2.data import vocabulary
from medvlsam2.data.dicom_seg import read_seg
from medvlsam2.data.readers import read_volume

from .conftest import Cable, body, grid, slices

READ_S = "3"
PLAIN, MISSING, TWICE, LOCALIZER, TILTED, OTHER, ABSENT, FETCHED = range(1, 9)
OHIF = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, "restore_label_idx": False}


@pytest.fixture(scope="module")
def series(send: Callable[..., str]) -> dict[int, str]:
    """Series of all kinds in Orthanc."""
    hu, straight = body(), grid()
    coronal = straight.copy()
    coronal[:3, 1], coronal[:3, 2], coronal[2, 3] = -straight[:3, 2], straight[:3, 1], straight[2, 3] + 4 * 39
    scout = np.ascontiguousarray(hu[:, 17:18].transpose(0, 2, 1))
    other = np.where(hu > 200, hu + 100, hu).astype(np.int16)
    return {
        PLAIN: send(PLAIN, slices(PLAIN, hu, straight)),
        MISSING: send(MISSING, slices(MISSING, hu, straight), without=(17, 18)),
        TWICE: send(TWICE, slices(TWICE, hu, straight), slices(TWICE, other, straight, first=100)),
        LOCALIZER: send(LOCALIZER, slices(LOCALIZER, hu, straight), slices(LOCALIZER, scout, coronal, first=500)),
        TILTED: send(TILTED, slices(TILTED, hu, grid(tilt_mm=1.0))),
        **{kind: send(kind, slices(kind, hu, straight)) for kind in (OTHER, ABSENT)},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that several servers use, one after another."""
    return tmp_path_factory.mktemp("pacs-server")


@pytest.fixture(scope="module")
def serve(cable: Cable, start: Callable[..., Any], tiny_model_dir: Path, folder: Path) -> Callable[[], Any]:
    """Starts our server with the PACS as its studies."""
    settings = {"MONAI_LABEL_DICOMWEB_READ_TIMEOUT": READ_S, "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "5"}
    return lambda: start(folder, f"{cable.url}/dicom-web", tiny_model_dir, **settings)


@pytest.fixture(scope="module")
def server(serve: Callable[[], Any], series: dict[int, str]) -> Iterator[Any]:
    """The first one."""
    with serve() as live:
        yield live


@pytest.fixture
def whole(cable: Cable, server: Any) -> Iterator[Cable]:
    """The cable, mended after the test."""
    yield cable
    cable.mend()
    wait_until(lambda: server.infer("medvlsam2_report", "1.2.3.4").status_code == 404)


def painted(path: Path, places: dict[int, tuple[slice, slice, slice]], affine: np.ndarray) -> Path:
    values = np.zeros((40, 36, 40), np.uint8)
    for value, place in places.items():
        values[place] = value
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def slicers_names() -> list[dict[str, Any]]:
    """Slicer makes a segment for each structure that the model knows, and sends them all."""
    names = ["spleen", "right kidney", "left kidney", "gallbladder", "liver", "stomach", "pancreas"]
    names += [structure.name for structure in vocabulary.STRUCTURES.values() if structure.name not in names][:26]
    assert len(names) == 33
    return [{"name": name, "idx": number} for number, name in enumerate(names, start=1)]


def told(server: Any, image: str) -> dict[str, Any]:
    reply = server.get(f"/datastore/label/info?label={image}&tag=final")
    assert reply.status_code == 200, reply.text
    return dict(reply.json()["pacs"])


def wait_until(condition: Callable[[], Any], limit_s: float = 40.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)


@pytest.mark.parametrize(("kind", "words"), [(MISSING, "missing"), (TWICE, "lie at the same place")])
def test_what_is_refused_as_files_is_refused_from_a_pacs(server: Any, series: Any, kind: int, words: str) -> None:
    reply = server.infer("medvlsam2_referring", series[kind], {"prompt": "liver"})
    assert reply.status_code == 422, reply.text
    assert words in reply.json()["detail"]


def test_a_localizer_is_left_out_with_a_warning(server: Any, series: Any) -> None:
    warnings = server.json("medvlsam2_referring", series[LOCALIZER], {"prompt": "liver"})["warnings"]
    assert any("of 40 slices, was read" in text for text in warnings), warnings


def test_a_tilted_series_keeps_its_exact_place_and_says_so(server: Any, series: Any, tmp_path: Path) -> None:
    wish = {"prompt": "liver", "result_extension": ".nii.gz"}
    reply = server.infer("medvlsam2_referring", series[TILTED], wish, output="image")
    assert reply.status_code == 200, reply.text
    (tmp_path / "mask.nii.gz").write_bytes(reply.content)
    mask = nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == (40, 36, 40)
    np.testing.assert_allclose(mask.get_sform(), grid(tilt_mm=1.0), atol=1e-4)
    warnings = server.json("medvlsam2_referring", series[TILTED], {"prompt": "liver"})["warnings"]
    assert any("tilted by 14.0 degrees" in text for text in warnings), warnings


def test_slicers_names_stay_on_their_organs(
    server: Any, series: Any, segs_of: Any, folder: Path, tmp_path: Path
) -> None:
    """33 names, three of them painted: the host made the liver a left kidney, the right kidney a spleen."""
    image = series[PLAIN]
    names = slicers_names()
    values = {item["name"]: item["idx"] for item in names}
    places = {
        "liver": np.s_[4:14, 6:20, 8:20],
        "right kidney": np.s_[6:10, 20:26, 5:12],
        "spleen": np.s_[26:32, 8:16, 9:15],
    }
    label = painted(tmp_path / "label.nii.gz", {values[name]: place for name, place in places.items()}, grid())
    server.client().save_label(image, str(label), params={"label_info": names})
    wait_until(lambda: told(server, image)["state"] == "in the PACS")
    (seg,) = segs_of(image)
    assert (seg.SeriesDescription, seg.SegmentSequence[0].SegmentAlgorithmType) == ("final by e2e", "MANUAL")
    read = read_seg(seg, (40, 36, 40), grid())
    assert {facts.name for facts in read.segments} == set(places)
    for facts in read.segments:
        found = np.zeros((40, 36, 40), bool)
        found[places[facts.name]] = True
        np.testing.assert_array_equal(read.label_map.values == facts.number, found)
    codes = {item.SegmentLabel: item.SegmentedPropertyTypeCodeSequence[0].CodeValue for item in seg.SegmentSequence}
    assert codes == {"liver": "10200004", "right kidney": "64033007", "spleen": "78961009"}


def test_a_label_that_is_submitted_again_replaces(server: Any, series: Any, segs_of: Any, tmp_path: Path) -> None:
    image, client = series[OTHER], server.client()
    before = server.get("/info/").json()["datastore"]
    for value in (1, 2):
        label = painted(tmp_path / f"{value}.nii.gz", {value: np.s_[4:9, 6:9, 8:12]}, grid())
        info = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}]
        client.save_label(image, str(label), params={"label_info": info, "model": "medvlsam2_semantic"})
        wait_until(lambda: told(server, image)["state"] == "in the PACS")
    first, second = segs_of(image)
    assert second.SeriesDescription.endswith("revision 2")
    replaced = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert replaced.ReferencedSOPInstanceUID == first.SOPInstanceUID
    (item,) = second.SegmentSequence
    assert (item.SegmentLabel, item.SegmentAlgorithmType) == ("spleen", "SEMIAUTOMATIC")
    assert item.SegmentAlgorithmName == "medvlsam2-tiny-random"
    after = server.get("/info/").json()["datastore"]
    assert (after["completed"], after["total"]) == (before["completed"] + 1, before["total"]), "an image, not its SEGs"


def test_a_bad_label_is_refused_with_its_sentence(server: Any, series: Any, segs_of: Any, tmp_path: Path) -> None:
    other_grid = grid()
    other_grid[2, 3] += 50
    label = painted(tmp_path / "label.nii.gz", {1: np.s_[4:9, 6:9, 8:12]}, other_grid)
    with label.open("rb") as file:
        reply = requests.put(
            f"{server.url}/datastore/label?image={series[TILTED]}",
            files={"label": ("label.nii.gz", file)},
            data={"params": '{"label_info": [{"name": "liver", "idx": 1}]}'},
            timeout=60,
        )
    assert reply.status_code == 422, reply.text
    assert "label" in reply.json()["detail"]
    assert segs_of(series[TILTED]) == []


def test_a_label_waits_for_a_pacs_that_is_away(
    server: Any, series: Any, segs_of: Any, whole: Cable, tmp_path: Path
) -> None:
    image = series[LOCALIZER]
    server.json("medvlsam2_referring", image, {"prompt": "liver"})
    whole.pull()
    label = painted(tmp_path / "label.nii.gz", {1: np.s_[4:9, 6:9, 8:12]}, grid())
    began_s = time.monotonic()
    reply = server.client().save_label(image, str(label), params={"label_info": [{"name": "liver", "idx": 1}]})
    assert time.monotonic() - began_s < 15
    assert reply["label"] == image
    assert reply["pacs"]["state"] == "waiting for the PACS"
    assert server.get("/datastore/").json()["pacs"]["labels_waiting"] == 1
    all_ = server.get("/datastore/?output=all").json()["objects"][image]["labels"]["final"]["info"]
    assert all_["pacs"]["state"] == "waiting for the PACS"
    whole.mend()
    wait_until(lambda: told(server, image)["state"] == "in the PACS")
    (seg,) = segs_of(image)
    assert seg.SegmentSequence[0].SegmentLabel == "liver"


def test_a_pacs_that_hangs_freezes_nobody(server: Any, series: Any, whole: Cable) -> None:
    """45 requests of viewers that disconnect, and one request for a scan that is not cached."""
    whole.stick()
    viewers = [threading.Thread(target=_leave, args=(server.url,), daemon=True) for _ in range(45)]
    for viewer in viewers:
        viewer.start()
    scan = threading.Thread(target=server.infer, args=("medvlsam2_referring", series[ABSENT]), daemon=True)
    scan.start()
    time.sleep(0.3)
    for path in ("/info/", "/datastore/?output=all", f"/datastore/label/info?label={series[PLAIN]}&tag=final"):
        began_s = time.monotonic()
        assert server.get(path).status_code == 200
        assert time.monotonic() - began_s < 2, path
    here = server.infer("medvlsam2_referring", series[PLAIN], {"prompt": "liver"}, output="json")
    assert here.status_code == 200, "a scan that is here is answered"
    reply = requests.get(f"{server.url}/proxy/dicom/qido/studies", timeout=30)
    assert reply.status_code == 503
    assert "does not answer within 3 seconds" in reply.json()["detail"], "those who left hold no place"
    unknown = server.infer("medvlsam2_referring", "1.2.3.4")
    assert (unknown.status_code, "PACS" in unknown.json()["detail"]) == (503, True)
    whole.mend()
    wait_until(lambda: server.get("/proxy/dicom/qido/studies").status_code == 200)


def test_a_result_can_come_as_dicom_seg(server: Any, series: Any, tmp_path: Path) -> None:
    request = {"label_prompt": [1], "points": [[10, 15, 20]], "point_labels": [1]}
    reply = server.infer("medvlsam2_prompts", series[PLAIN], request, output="dicom_seg")
    assert reply.status_code == 200, reply.text
    (tmp_path / "seg.dcm").write_bytes(reply.content)
    read = read_seg(tmp_path / "seg.dcm", (40, 36, 40), grid())
    (facts,) = read.segments
    assert (facts.name, facts.algorithm, facts.model) == ("liver", "SEMIAUTOMATIC", "medvlsam2-tiny-random")
    assert read.label_map.values[10, 15, 20]


def test_slicer_can_load_the_scan(server: Any, series: Any, tmp_path: Path) -> None:
    reply = server.get(f"/datastore/image?image={series[PLAIN]}")
    assert reply.status_code == 200, reply.text
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(reply.content)
    image = sitk.ReadImage(str(path))
    assert image.GetSize() == (40, 36, 40)
    np.testing.assert_allclose(np.array(image.GetOrigin()) * (-1, -1, 1), grid()[:3, 3], atol=1e-3)


def test_a_real_series_is_answered_on_its_own_grid(
    server: Any, orthanc: str, shared_data: Path, tmp_path: Path
) -> None:
    """The chest slab, sent while the server runs; a viewer opens the study that the next sample names."""
    with tarfile.open(shared_data / "dicom" / "lung113_slab30.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    for path in sorted(tmp_path.rglob("*.dcm")):
        requests.post(f"{orthanc}/instances", data=path.read_bytes(), timeout=60).raise_for_status()
        image = str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)
    request = {**OHIF, "label_prompt": [1], "points": [[256, 256, 15]], "point_labels": [1]}
    reply = server.infer("medvlsam2_prompts", image, request, output="image")
    assert reply.status_code == 200, reply.text
    (tmp_path / "mask.nrrd").write_bytes(reply.content)
    values, header = nrrd.read(str(tmp_path / "mask.nrrd"))
    assert (header["sizes"].tolist(), header["encoding"], values.dtype) == ([512, 512, 30], "raw", np.uint8)
    sample = server.client().next_sample("uniform_random", {})
    assert sample["id"]
    assert sample["StudyInstanceUID"]


def test_a_series_that_was_fetched_in_part_is_never_answered_from(
    server: Any, cable: Cable, send: Callable[..., str], serve: Callable[[], Any], folder: Path
) -> None:
    """The server is killed in the middle; the next one on the same cache answers from 40 slices."""
    image = send(FETCHED, slices(FETCHED, body(), grid()))
    labelled = server.get("/info/").json()["datastore"]["completed"]
    cable.delay_s = 0.05
    threading.Thread(target=_ask_in_vain, args=(server, image), daemon=True).start()
    beside = next(iter(folder.glob("dicomweb/*/series"))) / f".fetching-{image}"
    wait_until(lambda: beside.is_dir() and len(list(beside.glob("*.dcm"))) >= 5)
    cable.stick()
    assert len(list(beside.glob("*.dcm"))) < 40
    os.kill(server.process_id, signal.SIGKILL)
    cable.mend()
    with serve() as again:
        reply = again.infer("medvlsam2_referring", image, {"prompt": "liver", **OHIF}, output="image")
        assert reply.status_code == 200, reply.text
        (folder / "mask.nrrd").write_bytes(reply.content)
        assert nrrd.read_header(str(folder / "mask.nrrd"))["sizes"].tolist() == [40, 36, 40]
        kept = beside.with_name(image)
        assert read_volume(kept).shape_ijk == (40, 36, 40)
        assert again.get("/info/").json()["datastore"]["completed"] == labelled, "labels are still here"


def _leave(url: str) -> None:
    try:
        requests.get(f"{url}/proxy/dicom/qido/studies", timeout=0.5)
    except requests.RequestException:
        return


def _ask_in_vain(server: Any, image: str) -> None:
    try:
        server.infer("medvlsam2_referring", image)
    except requests.RequestException:
        return
