"""A browser that can reach only the server, and the pages over studies that a test may change."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from label_tasks.pages import router as pages
from label_tasks.pages.pictures import Pictures
from label_tasks.pages.studies import Studies, listing_of
from label_tasks.store.scan_folder import ScanFolder
from medvlsam2.tasks.engine.engine import Engine

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 20_000


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
        """Check that no other address was requested, and that no script failed or was refused."""
        assert [url for url in self.asked if not url.startswith((self.origin, "data:", "blob:"))] == []
        assert self.said == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; skips where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright.", exc_type=ImportError
    )
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

    def open_page(origin: str, path: str, *, width: int = 1280, scheme: str = "light") -> Visit:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
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
    jobs: dict[str, Any]


@pytest.fixture
def kiosk(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kiosk]:
    """Serves the pages of a studies folder from a thread of this process."""

    def show(folder: Path, *, model: Path = tiny_model_dir, make: Callable[[], Any] | None = None) -> None:
        wait_s = 10.0 if make is None else 0.5
        if make is not None:
            app = SimpleNamespace(engine=Engine(model), studies="http://reader:secret@pacs.example/dicom-web")
        else:
            datastore = ScanFolder(folder)
            app = SimpleNamespace(engine=Engine(model), studies=str(folder), datastore=lambda: datastore)
            make = lambda: listing_of(datastore)  # noqa: E731
        monkeypatch.setattr(pages, "app_instance", lambda: app)
        monkeypatch.setattr(pages, "_studies", Studies(make, wait_s=wait_s))
        monkeypatch.setattr(pages, "_pictures", Pictures())

    application = FastAPI(docs_url=None, redoc_url=None)
    application.include_router(pages.router)
    application.state.jobs = {}
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
        yield Kiosk(f"http://127.0.0.1:{port}", show, application.state.jobs)
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty studies folder."""
    made = tmp_path / "studies"
    made.mkdir()
    return made
