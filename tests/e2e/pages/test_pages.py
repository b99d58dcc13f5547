"""The first view of a visitor, in a browser that can reach only the server."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
from PIL import Image

from label_tasks.pages import router as pages
from medvlsam2 import NOTICE

SMALL_HU = np.linspace(-1000, 400, 9**3).astype(np.int16).reshape(9, 9, 9)
HOSTILE = "<img src=x onerror=document.title=1>"


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
def test_a_page_shows_its_words_without_internet(server: Any, visit: Callable[..., Any], path: str, words: list[str]):
    seen = visit(server.url, path)
    seen.page.get_by_text(words[0]).first.wait_for()
    text = seen.text()
    assert [word for word in words if word not in text] == []
    seen.assert_alone()


def test_the_start_page_shows_pictures_and_why_there_is_none(server: Any, visit: Callable[..., Any]):
    seen = visit(server.url, "/?q=phantom")
    picture = seen.page.locator(".studies img")
    picture.scroll_into_view_if_needed()
    seen.page.wait_for_function("() => document.querySelector('.studies img').naturalWidth > 0")
    damaged = visit(server.url, "/?q=unreadable")
    damaged.page.locator(".studies .problem", has_text="'unreadable.nii.gz'").wait_for()
    again = requests.get(f"{server.url}/?q=unreadable", timeout=30).text
    assert "is not a NIfTI file though its name says so" in again


def test_a_picture_is_of_the_soft_window_with_the_patients_right_on_its_left(folder: Path, kiosk: Any):
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


def test_a_name_with_html_in_it_is_text(folder: Path, kiosk: Any, visit: Callable[..., Any]):
    write_scan(folder / f"{HOSTILE}.nii.gz", SMALL_HU)
    kiosk.show(folder)
    seen = visit(kiosk.url, f"/?q={HOSTILE.replace('=', '%3D')}&state=<b>")
    seen.page.wait_for_function("() => document.querySelector('.studies img').naturalWidth > 0")
    assert seen.page.locator(".studies h3").inner_text() == HOSTILE
    assert seen.page.locator("input[type=search]").input_value() == HOSTILE
    assert seen.page.locator("[onerror]").count() == 0
    assert seen.page.title() == "MedVL-SAM2: 1 study"
    seen.assert_alone()


def test_a_thousand_studies_are_pages_that_can_be_searched(folder: Path, kiosk: Any, visit: Callable[..., Any]):
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


def test_each_state_is_shown_with_who_and_when(folder: Path, kiosk: Any, visit: Callable[..., Any]):
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


def test_what_is_missing_is_a_sentence_on_the_page(folder: Path, kiosk: Any, visit: Callable[..., Any]):
    kiosk.show(folder, model=folder)
    text = visit(kiosk.url, "/").text()
    assert "The studies folder holds no scan" in text
    assert "has no config.yaml; a model needs" in text


def test_a_pacs_that_is_away_does_not_keep_the_page(folder: Path, kiosk: Any, visit: Callable[..., Any]):
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
def test_a_narrow_screen_needs_no_scrolling_sideways(server: Any, visit: Callable[..., Any], path: str):
    seen = visit(server.url, path, width=380)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 380


def test_addresses_are_those_that_the_visitor_used_and_can_be_copied(server: Any, visit: Callable[..., Any]):
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


def test_a_wrong_address_says_where_to_go_and_monitors_may_look_without_a_body(server: Any):
    for path in ("/nothing", "/static/nothing.js"):
        reply = server.get(path)
        assert reply.status_code == 404
        assert (
            reply.json()["detail"] == "There is no such page or route. The start page is /, and /docs lists all routes."
        )
    assert server.get("/pages/nothing").json()["detail"].startswith("There is no file 'nothing'"), "ours stay"
    looked = requests.head(server.url, timeout=30)
    assert (looked.status_code, looked.content) == (200, b"")
    reply = requests.head(f"{server.url}/docs", timeout=30)
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")
    assert requests.patch(f"{server.url}/info/", timeout=30).json()["detail"].startswith("PATCH is not allowed")
