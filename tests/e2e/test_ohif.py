"""A radiologist in OHIF: a browser opens a phantom from a PACS, and the panel's buttons and clicks bring masks."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pydicom
import pytest
import requests
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright.", exc_type=ImportError
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--use-gl=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 60_000

CONNECTED = """() => {
    const volumes = window.cornerstone ? cornerstone.cache.getVolumes() : [];
    return volumes.length > 0 && volumes.every(volume => volume.loadStatus.loaded);
}"""
LABELMAP = "services.segmentationService.getLabelmapVolume('1')"
SEGMENTS = """() => {
    const segmentation = services.segmentationService.getSegmentations()[0];
    const segments = Object.values((segmentation.config || segmentation).segments);
    return Object.fromEntries(segments.map(segment => [segment.label, segment.segmentIndex]));
}"""
COLOURS = """() => {
    const service = services.segmentationService;
    const viewport = services.viewportGridService.getActiveViewportId();
    const [segmentation] = service.getSegmentations();
    const id = segmentation.segmentationId || segmentation.id;
    const segments = Object.values((segmentation.config || segmentation).segments);
    return Object.fromEntries(
        segments.map(one => [one.label, service.getSegmentColor(viewport, id, one.segmentIndex)])
    );
}"""
SHOW = """index => {
    const id = services.viewportGridService.getActiveViewportId();
    const viewport = services.cornerstoneViewportService.getCornerstoneViewport(id);
    const world = viewport.getImageData().imageData.indexToWorld(index);
    viewport.jumpToWorld(world);
    viewport.render();
    const [x, y] = viewport.worldToCanvas(world);
    const corner = viewport.canvas.getBoundingClientRect();
    return [corner.x + x, corner.y + y];
}"""


@dataclass(frozen=True)
class Answer:
    """What a press of *Run* asked for, and what came back."""

    model: str
    params: dict[str, Any]
    status: int


@dataclass(frozen=True)
class Panel:
    """The MONAI Label panel beside an open scan."""

    page: Any
    requested: list[str]

    def tab(self, name: str) -> Any:
        """Open one of the panel's tabs."""
        self.page.locator("label.tab-label", has_text=name).click()
        return self.page.locator(".tab", has=self.page.locator("label.tab-label", has_text=name))

    def run(self, tab: Any) -> Answer:
        """Press *Run* and wait until the viewer has taken the mask over."""
        taken_over = self.page.expect_console_message(lambda line: "updated the segmentation" in line.text)
        with taken_over, self.page.expect_response(lambda reply: "/infer/" in reply.url) as caught:
            tab.locator("button.actionButton").click()
        form = re.search(r"\r\n\r\n(\{.*\})\r\n", caught.value.request.post_data)
        model = re.search(r"/infer/(\w+)", caught.value.url)
        assert form is not None
        assert model is not None
        return Answer(model[1], json.loads(form[1]), caught.value.status)

    def click_voxel(self, index_ijk: tuple[int, int, int]) -> None:
        """Click with the mouse where the first viewport shows a voxel."""
        x, y = self.page.evaluate(SHOW, list(index_ijk))
        self.page.wait_for_timeout(300)
        self.page.mouse.click(x, y)
        self.page.wait_for_function("() => cornerstoneTools.annotation.state.getAllAnnotations().length > 0")

    def segments(self) -> dict[str, int]:
        """Value in the viewer's label map of each name."""
        return dict(self.page.evaluate(SEGMENTS))

    def label_map(self) -> np.ndarray:
        """The viewer's label map."""
        return self._volume(LABELMAP, "Uint8Array", np.uint8)

    def scan_hu(self) -> np.ndarray:
        """The scan as the viewer holds it."""
        return self._volume("cornerstone.cache.getVolumes()[0]", "Int16Array", np.int16)

    def picture(self) -> np.ndarray:
        """What the first viewport shows, as soon as it shows the same for half a second."""
        self.page.bring_to_front()
        before, now = None, self._picture()
        for _ in range(20):
            if before is not None and np.array_equal(before, now):
                break
            self.page.wait_for_timeout(500)
            before, now = now, self._picture()
        return now

    def _picture(self) -> np.ndarray:
        shown = self.page.locator("canvas.cornerstone-canvas").first.screenshot()
        return np.asarray(Image.open(io.BytesIO(shown)).convert("RGB"), np.int16)

    def clear(self) -> None:
        """Empty the label map."""
        self.page.evaluate(
            f"""() => {{
                const voxels = {LABELMAP}.voxelManager;
                voxels.setCompleteScalarDataArray(new Uint8Array(voxels.getCompleteScalarDataArray().length));
            }}"""
        )

    def _volume(self, expression: str, array: str, kind: Any) -> np.ndarray:
        shape, text = self.page.evaluate(
            f"""() => {{
                const volume = {expression};
                const values = {array}.from(volume.voxelManager.getCompleteScalarDataArray());
                let text = "";
                for (const byte of new Uint8Array(values.buffer)) text += String.fromCharCode(byte);
                return [volume.dimensions, btoa(text)];
            }}"""
        )
        return np.frombuffer(base64.b64decode(text), kind).reshape(shape, order="F")


@pytest.fixture(scope="module")
def browser() -> Iterator[Callable[[Path], Any]]:
    """Opens a browser with an empty profile; skips where there is none."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("No browser is installed: apt-get install chromium.")
    opened = []
    with playwright.sync_playwright() as driver:

        def start(profile: Path) -> Any:
            context = driver.chromium.launch_persistent_context(
                str(profile), executable_path=program, args=FLAGS, viewport={"width": 1400, "height": 860}
            )
            context.set_default_timeout(WAIT_MS)
            opened.append(context)
            return context

        try:
            yield start
        finally:
            for context in opened:
                context.close()


@pytest.fixture(scope="module")
def series(orthanc: str, phantom: Any) -> str:
    """SeriesInstanceUID of the phantom, after it was sent to the PACS."""
    series_uid = generate_uid()
    for file in dicom_files(phantom.volume, series_uid):
        requests.post(f"{orthanc}/instances", data=file, timeout=60).raise_for_status()
    return str(series_uid)


@pytest.fixture(scope="module")
def eager_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model, except that it takes every object for present, so that its masks are not empty."""
    import torch

    from medvlsam2.model import checkpoint

    loaded = checkpoint.load(tiny_model_dir)
    with torch.no_grad():
        loaded.model.sam2.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(10.0)
    folder = tmp_path_factory.mktemp("eager") / tiny_model_dir.name
    checkpoint.save(folder, loaded.model, loaded.tokenizer, loaded.metadata)
    return folder


@pytest.fixture(scope="module")
def pacs_server(
    orthanc: str,
    series: str,
    start: Callable[..., Any],
    eager_model_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """Our server with the PACS as its studies."""
    folder = tmp_path_factory.mktemp("ohif-server")
    with start(folder, f"{orthanc}/dicom-web", eager_model_dir, MONAI_LABEL_DICOMWEB_READ_TIMEOUT="60") as live:
        yield live


@pytest.fixture(scope="module")
def connected(browser: Callable[[Path], Any], pacs_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Panel:
    """The panel after the study was chosen from the list and the panel's connect button was pressed."""
    context = browser(tmp_path_factory.mktemp("profile"))
    requested: list[str] = []
    context.on("request", lambda request: requested.append(request.url))
    context.route(lambda url: not url.startswith((pacs_server.url, "blob:", "data:")), lambda route: route.abort())
    page = context.pages[0]
    page.goto(f"{pacs_server.url}/ohif/")
    page.locator("tr span.truncate", has_text="Phantom, Three").click()
    page.get_by_role("button", name="Confirm and Hide").click()
    page.get_by_role("button", name="MONAI Label").click()
    page.wait_for_function(CONNECTED)
    page.locator(".settingsTable button").first.click()
    page.locator("label.tab-label").first.wait_for()
    page.wait_for_function(f"() => {LABELMAP}")
    return Panel(page, requested)


@pytest.fixture
def panel(connected: Panel) -> Panel:
    """The connected panel with an empty label map."""
    connected.clear()
    return connected


def test_the_panel_finds_its_server_and_shows_its_tasks(connected: Panel, pacs_server: Any) -> None:
    page = connected.page
    assert page.locator("#monailabelServerURL").input_value() == f"{pacs_server.url}/"
    assert page.locator(".monaiLabelPanel .subtitle").inner_text() == "MedVL-SAM2"
    listed = [option.strip() for option in connected.tab("Auto-Segmentation").locator("option").all_inner_texts()]
    assert {"medvlsam2_semantic", "medvlsam2_referring", "medvlsam2_prompts"} <= set(listed)
    clicked = connected.tab("Point Prompts").locator("option").all_inner_texts()
    assert [option.strip() for option in clicked] == ["medvlsam2_interactive", "medvlsam2_prompts"]
    phrases = ["referred object", *(f"referred object {number}" for number in range(2, 9))]
    assert list(connected.segments()) == ["left kidney", "liver", *phrases, "right kidney", "spleen"]


def test_nothing_is_asked_from_elsewhere(connected: Panel, pacs_server: Any) -> None:
    """The viewer works in a closed network: its page names no foreign address, and its policy forbids the others."""
    assert {url for url in connected.requested if not url.startswith((pacs_server.url, "blob:", "data:"))} == set()
    reply = pacs_server.get("/ohif/")
    assert "https://" not in reply.text
    assert "default-src 'self'; script-src 'self'" in reply.headers["content-security-policy"]
    assert "Orthanc Server" not in pacs_server.get("/ohif/app-config.js").text


def test_the_start_page_leads_to_the_study_in_the_viewer(connected: Panel, pacs_server: Any, orthanc: str) -> None:
    page = connected.page.context.new_page()
    page.goto(pacs_server.url)
    words = page.locator("main").inner_text()
    assert f"{orthanc}/dicom-web" in words
    assert "Examined 2026-01-01" in words
    assert "Phantom" not in words, "a page that anybody opens names no patient"
    page.get_by_role("link", name="Open in OHIF").click()
    page.wait_for_function(CONNECTED)
    page.close()


def test_the_viewer_holds_the_scan_in_our_order(connected: Panel, phantom: Any) -> None:
    """Voxel (i, j, k) there is voxel (i, j, k) here: the ground of every click and mask below."""
    np.testing.assert_array_equal(connected.scan_hu(), phantom.volume.hu)


def test_segments_have_the_colours_of_our_table(connected: Panel) -> None:
    """Left and right kidney were of one colour by the panel's own table."""
    from medvlsam2.data import vocabulary

    shown = connected.page.evaluate(COLOURS)
    for name in ("left kidney", "right kidney", "liver", "spleen"):
        assert tuple(shown[name][:3]) == vocabulary.find(name).color_rgb


def test_a_class_prompt_fills_its_segment(panel: Panel, pacs_server: Any, series: str) -> None:
    tab = panel.tab("Class Prompts")
    tab.locator("select").select_option("medvlsam2_prompts")
    before = panel.picture()
    tab.locator("tr", has_text="liver").locator("input").check()
    answer = panel.run(tab)
    tab.locator("tr", has_text="liver").locator("input").uncheck()
    assert (answer.model, answer.params["label_prompt"], answer.status) == ("medvlsam2_prompts", [1], 200)
    mask = server_mask(pacs_server, answer, series)
    assert_no_symmetry(mask == 1)
    np.testing.assert_array_equal(panel.label_map(), np.where(mask == 1, panel.segments()["liver"], 0))
    panel.page.wait_for_timeout(500)
    after = panel.picture()
    changed = (np.abs(after - before) > 20).any(axis=2)
    body = before.sum(axis=2) > 60
    assert changed[body].mean() > 0.01, "most of the viewport is black; the segment is on the body"
    assert (np.ptp(after[changed], axis=1) > 40).mean() > 0.9, "what appeared is a colour, and the scan is grey"
    assert "Segments classes, or one class that clicks point at answered in" in pacs_server.log.read_text()


@pytest.mark.parametrize("model", ["medvlsam2_prompts", "medvlsam2_interactive"])
def test_a_click_lands_on_the_organ_under_the_mouse(
    panel: Panel, pacs_server: Any, phantom: Any, series: str, model: str
) -> None:
    tab = panel.tab("Point Prompts")
    tab.locator("select").select_option(model)
    tab.locator("tr.clickable-row", has_text="spleen").click()
    place = deepest_voxel(phantom, "spleen")
    panel.click_voxel(place)
    answer = panel.run(tab)
    tab.get_by_text("Clear All Points").click()
    assert (answer.model, answer.status) == (model, 200)
    (clicked,) = answer.params["points" if model == "medvlsam2_prompts" else "foreground"]
    assert np.abs(np.subtract(clicked, place)).max() <= 1
    assert phantom.labels[phantom.label_map[tuple(clicked)]] == "spleen"
    mask = server_mask(pacs_server, answer, series)
    assert_no_symmetry(mask > 0)
    np.testing.assert_array_equal(panel.label_map(), np.where(mask > 0, panel.segments()["spleen"], 0))


def test_a_structure_named_in_the_options_keeps_its_own_segment(panel: Panel) -> None:
    """OHIF reads a value as a published id, Slicer as a place in the reply's list: a spleen must not become a liver."""
    panel.page.get_by_text("Options / Configurations").first.click()
    panel.page.locator("#infermedvlsam2_semanticstructures").fill("spleen")
    panel.page.get_by_role("button", name="Confirm").click()
    tab = panel.tab("Auto-Segmentation")
    tab.locator("select").select_option("medvlsam2_semantic")
    answer = panel.run(tab)
    assert (answer.params["structures"], answer.status) == ("spleen", 200)
    assert set(np.unique(panel.label_map())) == {0, panel.segments()["spleen"]}


def test_the_study_list_can_be_searched(pacs_server: Any) -> None:
    def found(name: str) -> int:
        reply = pacs_server.get(f"/proxy/dicom/qido/studies?PatientName={name}")
        return len(reply.json()) if reply.content else 0

    assert (found("*Phantom*"), found("*Nobody*")) == (1, 0)


@pytest.mark.parametrize("path", ["wado/%2e%2e/system", "%2e%2e/system", "qido/%252e%252e/system"])
def test_only_dicomweb_of_the_pacs_can_be_asked(pacs_server: Any, path: str) -> None:
    reply = pacs_server.get(f"/proxy/dicom/{path}")
    assert (reply.status_code, "DICOMweb path" in reply.json()["detail"]) == (400, True)


def dicom_files(volume: Any, series_uid: str) -> Iterator[bytes]:
    """A scan as the files of one CT series."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    study_uid, frame_uid = generate_uid(), generate_uid()
    for k in range(volume.hu.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.is_little_endian, slice_.is_implicit_VR = True, False
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = study_uid, series_uid
        slice_.FrameOfReferenceUID, slice_.InstanceNumber = frame_uid, k + 1
        slice_.PatientName, slice_.PatientID, slice_.Modality = "Phantom^Three", "PHANTOM-3", "CT"
        slice_.StudyDate, slice_.StudyTime, slice_.SeriesNumber = "20260101", "120000", 1
        slice_.ImagePositionPatient = [f"{value:.6f}" for value in lps[:3, 3] + k * lps[:3, 2]]
        axes = (lps[:3, :2] / spacing_mm[:2]).T
        slice_.ImageOrientationPatient = [f"{value:.9f}" for value in axes.ravel()]
        slice_.PixelSpacing = [f"{spacing_mm[1]:.6f}", f"{spacing_mm[0]:.6f}"]
        slice_.SliceThickness = f"{spacing_mm[2]:.6f}"
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        slice_.WindowCenter, slice_.WindowWidth = 40, 400
        pixels = np.ascontiguousarray(volume.hu[:, :, k].T, np.int16)
        slice_.Rows, slice_.Columns = pixels.shape
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
        slice_.PixelRepresentation, slice_.PixelData = 1, pixels.tobytes()
        file = io.BytesIO()
        pydicom.dcmwrite(file, slice_, write_like_original=False)
        yield file.getvalue()


def deepest_voxel(phantom: Any, structure: str) -> tuple[int, int, int]:
    """The voxel of a structure that is farthest from its surface."""
    (value,) = (value for value, key in phantom.labels.items() if key == structure)
    depth = ndimage.distance_transform_edt(phantom.label_map == value)
    i, j, k = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(i), int(j), int(k)


def server_mask(server: Any, answer: Answer, series: str) -> np.ndarray:
    """What the server says to the same request, asked without a browser."""
    reply = server.infer(answer.model, series, answer.params, output="image")
    assert reply.status_code == 200, reply.text
    file = io.BytesIO(reply.content)
    return np.asarray(nrrd.read_data(nrrd.read_header(file), file))


def assert_no_symmetry(mask: np.ndarray) -> None:
    """The mask would look different if any axis were flipped, so that equality proves the orientation."""
    assert mask.any()
    for axis in range(3):
        assert (mask != np.flip(mask, axis)).any()
