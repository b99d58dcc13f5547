"""OHIF in a browser: a phantom and the same one with a tilted gantry in a PACS, and the panel beside an open scan."""

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

import numpy as np
import pydicom
import pytest
import requests
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

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
    """The request of a press of *Run*, and its reply."""

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
        """Press *Run* and wait until the viewer shows the mask."""
        taken_over = self.page.expect_console_message(lambda line: "updated the segmentation" in line.text)
        with taken_over, self.page.expect_response(lambda reply: "/infer/" in reply.url) as caught:
            tab.locator("button.actionButton").click()
        form = re.search(r"\r\n\r\n(\{.*\})\r\n", caught.value.request.post_data)
        model = re.search(r"/infer/(\w+)", caught.value.url)
        assert form is not None
        assert model is not None
        return Answer(model[1], json.loads(form[1]), caught.value.status)

    def press(self, tab: Any) -> Any:
        """Press *Run* and return the HTTP reply as soon as the panel has shown the result."""
        with self.page.expect_response(lambda reply: "/infer/" in reply.url) as caught:
            tab.locator("button.actionButton").click()
        self.page.wait_for_timeout(1500)
        return caught.value

    def phrase(self, text: str) -> Any:
        """Type a phrase under *Options* and run it under Auto-Segmentation; the HTTP answer."""
        self.page.get_by_text("Options / Configurations").first.click()
        self.page.locator("select[name=selectName]").select_option("medvlsam2_referring")
        self.page.locator("#infermedvlsam2_referringprompt").fill(text)
        self.page.get_by_role("button", name="Confirm").click()
        tab = self.tab("Auto-Segmentation")
        tab.locator("select").select_option("medvlsam2_referring")
        return self.press(tab)

    def said(self) -> str:
        """Return the texts of the newest notices."""
        return " ".join(self.page.locator("[data-sonner-toast]").all_inner_texts())

    def colours(self) -> dict[str, tuple[int, int, int]]:
        """Colour of each segment."""
        return {name: tuple(colour[:3]) for name, colour in self.page.evaluate(COLOURS).items()}

    def wait_until_loaded(self, page: Any) -> None:
        """Wait until a page has loaded its scan."""
        page.wait_for_function(CONNECTED)

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
        """Return the picture of the first viewport as soon as it has not changed for half a second."""
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
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright.", exc_type=ImportError
    )
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
    return sent(orthanc, phantom.volume.hu, phantom.volume.affine, "Phantom^Three")


@pytest.fixture(scope="module")
def tilted_series(orthanc: str, phantom: Any) -> str:
    """SeriesInstanceUID of the same slices with a gantry tilt of 15 degrees."""
    affine = phantom.volume.affine.copy()
    affine[1, 2] += np.tan(np.radians(15.0)) * np.linalg.norm(affine[:3, 2])
    return sent(orthanc, phantom.volume.hu, affine, "Gantry^Tilted")


@pytest.fixture(scope="module")
def eager_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model, changed to call every object present, so that its masks are not empty."""
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
    *,
    orthanc: str,
    series: str,
    tilted_series: str,
    start: Callable[..., Any],
    eager_model_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """Our server with the PACS as its studies."""
    folder = tmp_path_factory.mktemp("ohif-server")
    with start(folder, f"{orthanc}/dicom-web", eager_model_dir, MONAI_LABEL_DICOMWEB_READ_TIMEOUT="60") as live:
        yield live


@pytest.fixture(scope="module")
def open_panel(
    browser: Callable[[Path], Any], pacs_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Panel]:
    """Chooses the study of a patient from the list and presses the panel's connect button."""
    context = browser(tmp_path_factory.mktemp("profile"))
    requested: list[str] = []
    context.on("request", lambda request: requested.append(request.url))
    context.route(lambda url: not url.startswith((pacs_server.url, "blob:", "data:")), lambda route: route.abort())

    def opened(patient: str) -> Panel:
        page = context.new_page()
        page.goto(f"{pacs_server.url}/ohif/")
        page.locator("tr span.truncate", has_text=patient).click()
        if not requested_before:
            page.get_by_role("button", name="Confirm and Hide").click()
            requested_before.append(patient)
        page.get_by_role("button", name="MONAI Label").click()
        page.wait_for_function(CONNECTED)
        page.locator(".settingsTable button").first.click()
        page.locator("label.tab-label").first.wait_for()
        page.wait_for_function(f"() => {LABELMAP}")
        return Panel(page, requested)

    requested_before: list[str] = []
    return opened


@pytest.fixture(scope="module")
def connected(open_panel: Callable[[str], Panel]) -> Panel:
    """The panel beside the phantom."""
    return open_panel("Phantom, Three")


@pytest.fixture
def panel(connected: Panel) -> Panel:
    """The connected panel with an empty label map."""
    connected.clear()
    return connected


def sent(orthanc: str, hu: np.ndarray, affine: np.ndarray, patient: str) -> str:
    """SeriesInstanceUID of a scan, after it was sent to the PACS."""
    series_uid = str(generate_uid())
    for file in dicom_files(hu, affine, series_uid, patient):
        requests.post(f"{orthanc}/instances", data=file, timeout=60).raise_for_status()
    return series_uid


def dicom_files(hu: np.ndarray, affine: np.ndarray, series_uid: str, patient: str) -> Iterator[bytes]:
    """A scan as the files of one CT series."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    study_uid, frame_uid = generate_uid(), generate_uid()
    for k in range(hu.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.is_little_endian, slice_.is_implicit_VR = True, False
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = study_uid, series_uid
        slice_.FrameOfReferenceUID, slice_.InstanceNumber = frame_uid, k + 1
        slice_.PatientName, slice_.PatientID, slice_.Modality = patient, patient.upper(), "CT"
        slice_.StudyDate, slice_.StudyTime, slice_.SeriesNumber = "20260101", "120000", 1
        slice_.ImagePositionPatient = [f"{value:.6f}" for value in lps[:3, 3] + k * lps[:3, 2]]
        axes = (lps[:3, :2] / spacing_mm[:2]).T
        slice_.ImageOrientationPatient = [f"{value:.9f}" for value in axes.ravel()]
        slice_.PixelSpacing = [f"{spacing_mm[1]:.6f}", f"{spacing_mm[0]:.6f}"]
        slice_.SliceThickness = f"{spacing_mm[2]:.6f}"
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        slice_.WindowCenter, slice_.WindowWidth = 40, 400
        pixels = np.ascontiguousarray(hu[:, :, k].T, np.int16)
        slice_.Rows, slice_.Columns = pixels.shape
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
        slice_.PixelRepresentation, slice_.PixelData = 1, pixels.tobytes()
        file = io.BytesIO()
        pydicom.dcmwrite(file, slice_, write_like_original=False)
        yield file.getvalue()
