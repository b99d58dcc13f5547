"""A colleague opens the submitted labels in OHIF: each voxel has its name and the colour of our table."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright.", exc_type=ImportError
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
WAIT_MS = 60_000
SLICER_NAMES = ("spleen", "right kidney", "left kidney", "gallbladder", "liver", "my lesion")
"""As Slicer lists them; "left kidney", "liver" and "my lesion" were painted, as values 3, 5 and 6."""

LOADED = """() => services.segmentationService.getSegmentations().length > 0
    && document.querySelector("canvas.cornerstone-canvas") !== null"""
SEGMENTS = """() => {
    const service = services.segmentationService;
    const viewport = services.viewportGridService.getActiveViewportId();
    const [segmentation] = service.getSegmentations();
    return Object.values(segmentation.segments).map(segment => [
        segment.segmentIndex,
        segment.label,
        service.getSegmentColor(viewport, segmentation.segmentationId, segment.segmentIndex),
    ]);
}"""
SLICES = """() => {
    const [segmentation] = services.segmentationService.getSegmentations();
    return segmentation.representationData.Labelmap.imageIds.map(id => {
        const image = cornerstone.cache.getImage(id);
        const place = cornerstone.metaData.get("imagePlaneModule", image.referencedImageId);
        const values = image.voxelManager.getScalarData();
        return [Array.from(place.imagePositionPatient), btoa(String.fromCharCode(...values))];
    });
}"""
SHOW = """index => {
    const id = services.viewportGridService.getActiveViewportId();
    const viewport = services.cornerstoneViewportService.getCornerstoneViewport(id);
    viewport.jumpToWorld(viewport.getImageData().imageData.indexToWorld(index));
    viewport.render();
}"""


@pytest.fixture(scope="module")
def label_map(phantom: Any) -> Any:
    """The phantom's left kidney, liver and a made-up lesion, on its grid."""
    from medvlsam2.data.label_maps import LabelMap

    values = np.zeros(phantom.volume.shape_ijk, np.uint16)
    for value, key in ((3, "kidney_left"), (5, "liver")):
        (source,) = (number for number, name in phantom.labels.items() if name == key)
        values[phantom.label_map == source] = value
    values[5:9, 7:10, 12:16] = 6
    return LabelMap(values, phantom.volume.affine, dict(enumerate(SLICER_NAMES, start=1)))


@pytest.fixture(scope="module")
def study(orthanc: str, phantom: Any, label_map: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """StudyInstanceUID of a scan in the PACS with a first label, and the one that replaced it."""
    from medvlsam2.data.dicom_seg import Origin, write_seg
    from medvlsam2.data.label_maps import LabelMap

    folder = tmp_path_factory.mktemp("scan")
    write_series(folder, phantom.volume)
    liver = np.where(label_map.values == 5, 5, 0).astype(np.uint16)
    first = write_seg(folder, LabelMap(liver, label_map.affine, label_map.names), annotator="ann")
    origins = {3: Origin("AUTOMATIC", "medvlsam2-nano", "v0001")}
    second = write_seg(folder, label_map, origins=origins, annotator="ann", replaces=first)
    for number, seg in enumerate((first, second)):
        pydicom.dcmwrite(folder / f"seg{number}.dcm", seg, write_like_original=False)
    for file in sorted(folder.iterdir()):
        requests.post(f"{orthanc}/instances", data=file.read_bytes(), timeout=60).raise_for_status()
    return str(second.StudyInstanceUID)


@pytest.fixture(scope="module")
def page(
    start: Any, orthanc: str, study: str, tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """OHIF after the newest SEG was opened from the study's list."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("No browser is installed: apt-get install chromium.")
    folder = tmp_path_factory.mktemp("seg-server")
    with start(folder, f"{orthanc}/dicom-web", tiny_model_dir) as server, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 860})
        page.set_default_timeout(WAIT_MS)
        page.route(lambda url: not url.startswith((server.url, "blob:", "data:")), lambda route: route.abort())
        page.goto(f"{server.url}/ohif/viewer?StudyInstanceUIDs={study}")
        page.get_by_role("button", name="Confirm and Hide").click()
        page.get_by_text("final by ann, revision 2").dblclick()
        page.get_by_text("Yes", exact=True).click()
        page.wait_for_function(LOADED)
        yield page
        browser.close()


def test_every_segment_has_its_name_and_the_colour_of_our_table(page: Any) -> None:
    from medvlsam2.data import vocabulary
    from medvlsam2.data.colours import colors_of

    shown = {index: (label, tuple(color[:3])) for index, label, color in page.evaluate(SEGMENTS)}
    expected = ["left kidney", "liver", "my lesion"]
    colors = colors_of(expected)
    assert shown == dict(enumerate(zip(expected, colors, strict=True), start=1))
    assert colors[1] == vocabulary.find("liver").color_rgb


def test_every_voxel_has_its_segment(page: Any, label_map: Any) -> None:
    to_ijk = np.linalg.inv(label_map.affine)
    expected = np.searchsorted([0, 3, 5, 6], label_map.values)
    seen = []
    for position_lps, text in page.evaluate(SLICES):
        i, j, k = (to_ijk @ [*np.multiply(position_lps, (-1, -1, 1)), 1.0])[:3]
        shown = np.frombuffer(base64.b64decode(text), np.uint8).reshape(expected.shape[:2], order="F")
        np.testing.assert_allclose((i, j, k), (0, 0, round(k)), atol=1e-3)
        np.testing.assert_array_equal(shown, expected[:, :, round(k)])
        seen.append(round(k))
    assert sorted(seen) == list(range(expected.shape[2]))


def test_the_liver_is_seen_in_its_colour(page: Any, label_map: Any) -> None:
    """The viewer blends the segment's colour with the grey of the scan, which keeps the hue."""
    from medvlsam2.data import vocabulary

    places = np.argwhere(label_map.values == 5)
    page.evaluate(SHOW, places[len(places) // 2].tolist())
    page.wait_for_timeout(800)
    canvas = page.locator("canvas.cornerstone-canvas").first.screenshot()
    picture = np.asarray(Image.open(io.BytesIO(canvas)).convert("RGB"), np.int16)
    wanted = np.array(vocabulary.find("liver").color_rgb)
    offset = picture - picture.min(axis=2, keepdims=True)
    hue = (wanted - wanted.min()) / np.ptp(wanted)
    coloured = np.ptp(picture, axis=2) > 25
    near = np.abs(offset / np.maximum(np.ptp(picture, axis=2, keepdims=True), 1) - hue).max(axis=2) < 0.15
    assert (coloured & near).sum() > 1000


def write_series(folder: Path, volume: Any) -> None:
    """A scan as the files of one CT series."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    study_uid, series_uid, frame_uid = generate_uid(), generate_uid(), generate_uid()
    for k in range(volume.hu.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.is_little_endian, one.is_implicit_VR = True, False
        one.SOPClassUID, one.SOPInstanceUID, one.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study_uid, series_uid, frame_uid
        one.PatientName, one.PatientID, one.StudyDate, one.StudyTime = "Phantom^Seg", "PHANTOM-SEG", "20260101", "1200"
        one.SeriesNumber, one.InstanceNumber = 1, k + 1
        one.ImagePositionPatient = [f"{value:.6f}" for value in lps[:3, 3] + k * lps[:3, 2]]
        one.ImageOrientationPatient = [f"{value:.9f}" for value in (lps[:3, :2] / spacing_mm[:2]).T.ravel()]
        one.PixelSpacing = [f"{spacing_mm[1]:.6f}", f"{spacing_mm[0]:.6f}"]
        one.SliceThickness = f"{spacing_mm[2]:.6f}"
        one.RescaleSlope, one.RescaleIntercept, one.WindowCenter, one.WindowWidth = 1, 0, 40, 400
        pixels = np.ascontiguousarray(volume.hu[:, :, k].T, np.int16)
        one.Rows, one.Columns = pixels.shape
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
        one.PixelData = pixels.tobytes()
        one.save_as(folder / f"{k:03d}.dcm", write_like_original=False)
