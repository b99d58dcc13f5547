"""What a visitor sees first, in a browser whose way to everything but the server is cut."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from PIL import Image

from label_tasks.pages import router as pages
from label_tasks.pages.pictures import Pictures
from label_tasks.pages.studies import Studies, listing_of
from label_tasks.store.scan_folder import ScanFolder
from medvlsam2.tasks.engine import Engine

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright.", exc_type=ImportError
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 20_000
NOTICE = "Not a medical device"
SMALL_HU = np.linspace(-1000, 400, 9**3).astype(np.int16).reshape(9, 9, 9)
HOSTILE = "<img src=x onerror=document.title=1>"


@dataclass
class Visit:
    """A page in a browser, and what it asked for."""

    page: Any
    origin: str
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The words that a visitor sees."""
        return str(self.page.locator("body").inner_text())

    def assert_alone(self) -> None:
        """Nothing was asked of any other address, and no script failed or was refused."""
        assert [url for url in self.asked if not url.startswith((self.origin, "data:", "blob:"))] == []
        assert self.said == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; skips where there is none."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("No browser is installed: apt-get install chromium.")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--no-first-run"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    """Opens a page of a server, with every foreign address cut off."""
    contexts = []

    def open_page(origin: str, path: str, *, width: int = 1280) -> Visit:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        context.route(lambda url: not url.startswith(origin), lambda route: route.abort())
        visit = Visit(context.new_page(), origin)
        context.on("request", lambda request: visit.asked.append(request.url))
        visit.page.on("pageerror", lambda error: visit.said.append(str(error)))
        visit.page.on(
            "console", lambda line: visit.said.append(line.text) if "Content Security Policy" in line.text else None
        )
        visit.page.goto(origin + path)
        visit.page.wait_for_load_state("networkidle")
        return visit

    yield open_page
    for context in contexts:
        context.close()


@dataclass
class Kiosk:
    """The pages over studies that a test may change, without the rest of the server."""

    url: str
    show: Callable[..., None]


@pytest.fixture
def kiosk(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kiosk]:
    """Serves the pages of a studies folder from a thread of this process."""

    def show(folder: Path, *, model: Path = tiny_model_dir, make: Callable[[], Any] | None = None) -> None:
        if make is not None:
            app = SimpleNamespace(engine=Engine(model), studies="http://reader:secret@pacs.example/dicom-web")
        else:
            datastore = ScanFolder(folder)
            app = SimpleNamespace(engine=Engine(model), studies=str(folder), datastore=lambda: datastore)
            make = lambda: listing_of(datastore)  # noqa: E731
        monkeypatch.setattr(pages, "app_instance", lambda: app)
        monkeypatch.setattr(pages, "_studies", Studies(make, wait_s=0.5))
        monkeypatch.setattr(pages, "_pictures", Pictures())

    application = FastAPI(docs_url=None, redoc_url=None)
    application.include_router(pages.router)
    from label_tasks import server

    application.exception_handlers |= server.build().exception_handlers
    application.mount("/static", StaticFiles(directory=tmp_path), name="static")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    running = uvicorn.Server(uvicorn.Config(application, port=port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            time.sleep(0.02)
        yield Kiosk(f"http://127.0.0.1:{port}", show)
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty studies folder."""
    made = tmp_path / "studies"
    made.mkdir()
    return made


def write_scan(path: Path, hu: np.ndarray) -> None:
    """A scan of 4 mm voxels in RAS order."""
    nib.save(nib.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0])), path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", ["medvlsam2-tiny-random", "phantom", "unlabelled", "3D Slicer", "OHIF", NOTICE]),
        ("/docs", ["/infer/{model}", "Run one of the model's abilities", "/datastore/label", NOTICE]),
        ("/redoc", ["/infer/{model}", NOTICE]),
        ("/logs/?html=true", ["App Init - completed", NOTICE]),
        ("/logs/", ["App Init - completed", NOTICE]),
        ("/ohif/", ["OHIF needs a PACS", "--studies http://", NOTICE]),
        ("/ohif/viewer?StudyInstanceUIDs=1.2", ["OHIF needs a PACS"]),
    ],
)
def test_a_page_shows_its_words_without_internet(server: Any, visit: Callable[..., Visit], path: str, words: list[str]):
    seen = visit(server.url, path)
    seen.page.get_by_text(words[0]).first.wait_for()
    text = seen.text()
    assert [word for word in words if word not in text] == []
    seen.assert_alone()


def test_the_start_page_shows_pictures_and_why_there_is_none(server: Any, visit: Callable[..., Visit]):
    seen = visit(server.url, "/?q=phantom")
    picture = seen.page.locator(".studies img")
    picture.scroll_into_view_if_needed()
    seen.page.wait_for_function("() => document.querySelector('.studies img').naturalWidth > 0")
    damaged = visit(server.url, "/?q=unreadable")
    damaged.page.locator(".studies .problem", has_text="'unreadable.nii.gz'").wait_for()
    again = requests.get(f"{server.url}/?q=unreadable", timeout=30).text
    assert "is not a NIfTI file though its name says so" in again


def test_a_picture_is_of_the_soft_window_with_the_patients_right_on_its_left(folder: Path, kiosk: Kiosk):
    """A bright block at the patient's right, front and head is left and up in both planes, whatever the voxel order."""

    def block(path: Path, order: tuple[int, int, int]) -> None:
        hu = np.full((40, 40, 40), -1000, np.int16)
        hu[5:35, 5:35, 5:35] = 40
        hu[26:34, 14:26, 26:34] = 300
        hu[26:34, 26:34, 14:26] = 300
        turned = nib.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0])).as_reoriented(
            nib.orientations.ornt_transform(
                nib.orientations.axcodes2ornt("RAS"), np.array([[axis, 1 if axis else -1] for axis in order])
            )
        )
        nib.save(turned, path)

    block(folder / "plain.nii.gz", (0, 1, 2))
    block(folder / "turned.nii.gz", (2, 0, 1))
    kiosk.show(folder)
    for name in ("plain", "turned"):
        reply = requests.get(f"{kiosk.url}/picture", params={"image": name}, timeout=30)
        assert reply.headers["content-type"] == "image/png"
        grey = np.asarray(Image.open(BytesIO(reply.content)).convert("L")).astype(int)
        size = grey.shape[0]
        for plane in (grey[:, :size], grey[:, size:]):
            quarter = size // 4
            assert plane[quarter + 8, quarter + 8] == 255, name
            assert 100 < plane[quarter + 8, -quarter - 8] < 150, name
            assert 100 < plane[-quarter - 8, quarter + 8] < 150, name
            assert plane[4, size // 2] == 0, name


def test_a_name_with_html_in_it_is_text(folder: Path, kiosk: Kiosk, visit: Callable[..., Visit]):
    write_scan(folder / f"{HOSTILE}.nii.gz", SMALL_HU)
    kiosk.show(folder)
    seen = visit(kiosk.url, f"/?q={HOSTILE.replace('=', '%3D')}&state=<b>")
    seen.page.wait_for_function("() => document.querySelector('.studies img').naturalWidth > 0")
    assert seen.page.locator(".studies h3").inner_text() == HOSTILE
    assert seen.page.locator("input[type=search]").input_value() == HOSTILE
    assert seen.page.locator("[onerror]").count() == 0
    assert seen.page.title() == "MedVL-SAM2: 1 studies"
    seen.assert_alone()


def test_a_thousand_studies_are_pages_that_can_be_searched(folder: Path, kiosk: Kiosk, visit: Callable[..., Visit]):
    write_scan(folder / "case0.nii.gz", SMALL_HU)
    for number in range(1, 1000):
        (folder / f"case{number}.nii.gz").hardlink_to(folder / "case0.nii.gz")
    kiosk.show(folder)
    seen = visit(kiosk.url, "/")
    assert seen.page.locator(".studies li").count() == 24
    assert seen.page.locator(".studies h3").first.inner_text() == "case0"
    assert "1000 of 1000 studies, page 1 of 42" in seen.text()
    seen.page.get_by_role("link", name="Next").click()
    assert seen.page.locator(".studies h3").first.inner_text() == "case24"
    seen.page.get_by_label("Name contains").fill("CASE99")
    seen.page.get_by_role("button", name="Show").click()
    assert seen.page.locator(".studies h3").all_inner_texts() == ["case99", *(f"case99{n}" for n in range(10))]
    assert requests.get(f"{kiosk.url}/?page=99999&state=final", timeout=30).ok
    seen.assert_alone()


def test_each_state_is_shown_with_who_and_when(folder: Path, kiosk: Kiosk, visit: Callable[..., Visit]):
    for name in ("fresh", "guessed", "done"):
        write_scan(folder / f"{name}.nii.gz", SMALL_HU)
    kiosk.show(folder)
    datastore = pages.app_instance().datastore()
    mask = folder.parent / "mask.nii.gz"
    write_scan(mask, np.ones((9, 9, 9), np.uint8))
    datastore.save_label("guessed", str(mask), "original", {"model": "medvlsam2_semantic"})
    datastore.save_label("done", str(mask), "original", {"model": "medvlsam2_semantic"})
    datastore.save_label("done", str(mask), "final", {"client_id": "<i>Ada</i>", "label_info": []})
    seen = visit(kiosk.url, "/")
    cards = {card.locator("h3").inner_text(): card.inner_text() for card in seen.page.locator(".studies li").all()}
    assert "unlabelled" in cards["fresh"]
    assert re.search(r"model result\s+by medvlsam2_semantic, \d{4}-\d\d-\d\d", cards["guessed"])
    assert re.search(r"final\s+by <i>Ada</i>, \d{4}-\d\d-\d\d \d\d:\d\d", cards["done"])
    seen.page.get_by_label("State").select_option("final")
    seen.page.get_by_role("button", name="Show").click()
    assert seen.page.locator(".studies h3").all_inner_texts() == ["done"]


def test_what_is_missing_is_a_sentence_on_the_page(folder: Path, kiosk: Kiosk, visit: Callable[..., Visit]):
    kiosk.show(folder, model=folder)
    text = visit(kiosk.url, "/").text()
    assert "The studies folder holds no scan" in text
    assert "has no config.yaml; a model needs" in text


def test_a_pacs_that_is_away_does_not_keep_the_page(folder: Path, kiosk: Kiosk, visit: Callable[..., Visit]):
    released = threading.Event()
    calls = []

    def hangs() -> tuple[()]:
        calls.append(threading.current_thread())
        released.wait(20)
        return ()

    kiosk.show(folder, make=hangs)
    try:
        start = time.monotonic()
        for _ in range(3):
            seen = requests.get(kiosk.url, timeout=10).text
        assert time.monotonic() - start < 5
        assert "has not answered for" in seen
        assert "secret" not in seen
        assert "http://pacs.example/dicom-web" in seen
        assert len(calls) == 1, "a second list is not begun before the first one is there"
    finally:
        released.set()

    def fails() -> tuple[()]:
        raise requests.ConnectionError("http://pacs.example refused")

    kiosk.show(folder, make=fails)
    assert "cannot be read now" in visit(kiosk.url, "/").text()


@pytest.mark.parametrize("path", ["/", "/docs", "/logs/", "/ohif/"])
def test_a_narrow_screen_needs_no_scrolling_sideways(server: Any, visit: Callable[..., Visit], path: str):
    seen = visit(server.url, path, width=380)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 380


def test_addresses_are_those_that_the_visitor_used_and_can_be_copied(server: Any, visit: Callable[..., Visit]):
    origin = server.url.replace("127.0.0.1", "localhost")
    seen = visit(origin, "/")
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen.page.get_by_role("button", name="Copy the address of the server").press("Enter")
    seen.page.get_by_role("button", name="Copied").or_(seen.page.get_by_text("Copied")).first.wait_for()
    assert seen.page.evaluate("navigator.clipboard.readText()") == origin
    assert f"{origin}/infer/medvlsam2_referring" in seen.text()


def test_pages_forbid_what_is_not_of_this_server(server: Any):
    for path in ("/", "/docs", "/logs/", "/ohif/", "/pages/start.js"):
        policy = server.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http" not in policy
    assert server.get("/pages/..%2frouter.py").status_code == 404
    assert server.get("/pages/router.py").json()["detail"].startswith("There is no file 'router.py'")


def test_the_log_is_shown_as_text_and_in_part(server: Any):
    assert len(server.get("/logs/?text=true&lines=2").text.splitlines()) == 2
    assert server.get("/logs/?text=true&lines=-5").ok
    assert server.get("/logs/?html=false").headers["content-type"].startswith("text/plain")
