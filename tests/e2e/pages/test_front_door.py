"""The pages in a dark room, by keyboard, and with a damaged scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests

from label_tasks.jobs.queue import JobQueue
from label_tasks.pages.studies import Study, StudyList

AA = 4.5
"""Contrast that WCAG 2.1 AA asks of text (success criterion 1.4.3); large text may have 3, and gets no less here."""
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (color, below) => {
    canvas.fillStyle = `rgb(${below})`; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(one);
    return chain.reduce((rgb, one) => over(getComputedStyle(one).backgroundColor, rgb), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({ opacityProperty: true })) continue;
    const back = behind(element), front = over(getComputedStyle(element).color, back);
    const [low, high] = [light(back), light(front)].sort((a, b) => a - b);
    found.push([text.slice(0, 40), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""


def write_scan(path: Path) -> None:
    hu = np.linspace(-1000, 400, 9**3).astype(np.int16).reshape(9, 9, 9)
    nib.save(nib.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0])), path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs", "/logs/", "/ohif/"])
def test_every_text_can_be_told_from_what_is_behind_it(server: Any, visit: Callable[..., Any], path: str, scheme: str):
    seen = visit(server.url, path, scheme=scheme)
    contrasts = seen.page.evaluate(CONTRASTS)
    assert len(contrasts) > 8
    assert [one for one in contrasts if one[1] < AA] == []
    page_is_dark = seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 29)"
    assert page_is_dark == (scheme == "dark")


def test_every_state_of_a_study_can_be_read(folder: Path, kiosk: Any, visit: Callable[..., Any]):
    listed = [Study("a", "final", "Ada"), Study("b", "model result"), Study("c", "unlabelled")]
    kiosk.jobs["train"] = Jobs([{"status": "RUNNING", "start_ts": "2026-11-30 10:00:00"}])
    for scheme in ("light", "dark"):
        kiosk.show(folder, make=lambda: StudyList(tuple(listed), ("The PACS does not answer.",)))
        contrasts = visit(kiosk.url, "/", scheme=scheme).page.evaluate(CONTRASTS)
        words = {text for text, _ in contrasts}
        assert {"final", "model result", "unlabelled", "The PACS does not answer."} <= words
        assert [one for one in contrasts if one[1] < AA] == []


class Jobs:
    """Jobs of one kind as they stand."""

    def __init__(self, jobs: list[dict[str, str]]) -> None:
        self._jobs = jobs

    def all(self) -> list[dict[str, str]]:
        return self._jobs


RUNS = {"status": "RUNNING", "start_ts": "2026-11-30 10:00:00"}
WAITS = {"status": "SUBMITTED", "start_ts": "2026-11-30 10:01:00"}
FAILED = {"status": "ERROR", "start_ts": "2026-11-30 09:00:00", "end_ts": "2026-11-30 09:03:00"}
DONE = {"status": "DONE", "start_ts": "2026-11-30 09:10:00", "end_ts": "2026-11-30 09:13:00"}


@pytest.mark.parametrize(
    ("kind", "jobs", "told", "untold"),
    [
        ("train", [RUNS], ["A training is running; it was asked for at 2026-11-30 10:00:00."], ["wait"]),
        ("train", [FAILED, RUNS, WAITS, WAITS], ["A training is running", "2 more wait."], ["failed"]),
        ("batch", [DONE, FAILED], ["The last batch, which ended at 2026-11-30 09:03:00, failed."], ["is running"]),
        ("scoring", [FAILED, DONE], [], ["failed", "is running"]),
    ],
)
def test_what_runs_beside_the_answers_is_told(folder: Path, kiosk: Any, kind, jobs, *, told, untold):
    kiosk.show(folder)
    kiosk.jobs[kind] = Jobs(jobs)
    text = requests.get(kiosk.url, timeout=30).text
    assert [words for words in told if words not in text] == []
    assert [words for words in untold if words in text] == []


def test_the_page_reads_the_queues_of_the_server(folder: Path, kiosk: Any, server: Any):
    """The live page has the route of the queues, and a queue provides the fields that the page reads."""
    assert requests.get(server.url, timeout=30).ok
    kiosk.show(folder)
    kiosk.jobs["train"] = JobQueue("train", "training", lambda *_: pytest.fail("nothing is started"))
    assert requests.get(kiosk.url, timeout=30).ok


def test_files_that_are_no_study_are_told_with_the_reason(folder: Path, kiosk: Any, visit: Callable[..., Any]):
    write_scan(folder / "scan.nii.gz")
    (folder / "a<b>page.nii.gz").write_text("<html>Not found</html>", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"\0")
    kiosk.show(folder)
    seen = visit(kiosk.url, "/")
    assert "1 file is not among the studies" in seen.text()
    assert "HTML" not in seen.text()
    seen.page.get_by_text("1 file is not among the studies").click()
    assert "'a<b>page.nii.gz' is an HTML or XML page" in seen.text()
    seen.assert_alone()


def test_commands_are_for_a_study_that_can_be_read(folder: Path, kiosk: Any):
    """Also at the first visit, when no picture has been made yet."""
    write_scan(folder / "z scan's.nii.gz")
    whole = (folder / "z scan's.nii.gz").read_bytes()
    for name in ("a", "b"):
        (folder / f"{name}.nii.gz").write_bytes(whole[: len(whole) // 2])
    kiosk.show(folder)
    text = requests.get(kiosk.url, timeout=30).text
    assert text.count("?image=z%20scan%27s&amp;output=") == 3
    assert text.count("?image=") == 3 + 1, "three commands and the picture of the one scan"
    text = requests.get(f"{kiosk.url}/?q=b", timeout=30).text
    assert "curl" not in text, "none is shown for which they would work"


def test_two_long_names_that_differ_at_their_ends_are_told_apart(folder: Path, kiosk: Any, visit: Callable[..., Any]):
    uid = "1.2.826.0.1.3680043.8.498." + "7" * 36
    for end in ("1", "2"):
        write_scan(folder / f"{uid}{end}.nii.gz")
    kiosk.show(folder)
    seen = visit(kiosk.url, "/", width=360)
    for heading, end in zip(seen.page.locator(".studies h3").all(), ("1", "2"), strict=True):
        assert heading.inner_text() == uid + end
        assert heading.evaluate("one => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_keyboard_reaches_the_content_and_copies(server: Any, visit: Callable[..., Any]):
    seen = visit(server.url, "/")
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen.page.keyboard.press("Tab")
    skip = seen.page.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("one => one === document.activeElement && one.getBoundingClientRect().left >= 0")
    seen.page.keyboard.press("Enter")
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "How to connect"
    button = seen.page.get_by_role("button", name="Copy the command for a mask")
    button.focus()
    seen.page.keyboard.press("Enter")
    seen.page.get_by_role("button", name="Copied").wait_for()
    lines = seen.page.evaluate("navigator.clipboard.readText()").split("\n")
    assert [line[:9] for line in lines] == ["curl -X P", "  -F 'par"]
    assert lines[0].endswith("&output=image' \\")


def test_a_server_that_is_gone_is_told_in_the_place_of_a_picture(folder: Path, kiosk: Any, chromium: Any):
    write_scan(folder / "scan.nii.gz")
    kiosk.show(folder)
    context = chromium.new_context()
    context.route("**/picture?*", lambda route: route.abort())
    page = context.new_page()
    page.goto(kiosk.url)
    page.get_by_text("The server does not answer. Load the page again when it runs.").wait_for()
    context.close()
