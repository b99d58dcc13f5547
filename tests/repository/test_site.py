"""The documentation site: built without a warning, whole without the internet, and what a reader asks is in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medvlsam2.settings.record import all_settings
from site_pages import PAGES, with_links_of_the_site

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ("segment_by_words", "click_and_correct", "batch_over_a_folder")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


def test_make_refuses_warnings() -> None:
    """With --quiet MkDocs counts no warning, and --strict has no effect."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    build = [line for line in makefile.splitlines() if "mkdocs build" in line]
    assert len(build) == 1
    assert "--strict" in build[0]
    assert "--quiet" not in build[0]


def test_no_page_loads_anything_from_another_address(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 12
    for page in pages:
        text = page.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:link|script|img|iframe|source|object|embed)\b[^>]*>", text)
        assert [tag for tag in tags if re.search(r"(?:src|href|data)=[\"']?(?:https?:)?//", tag)] == [], page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*", styles) == []


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("How to add an export format", "contributing.html"),
        ("How to add a structure", "contributing.html"),
        ("Unreleased", "changelog.html"),
        ("medvlsam2.tasks.segment.segment", "api.html"),
        ("3D Slicer", "annotators.html"),
    ],
)
def test_the_search_finds_what_a_reader_asks(site: Path, question: str, page: str) -> None:
    """The index is a file of the site, which the search in the browser reads."""
    entries = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    titles = [(re.sub(r"<[^>]+>", "", entry["title"]), entry["location"].partition("#")[0]) for entry in entries]
    assert (question, page) in titles


def test_every_setting_has_a_row(site: Path) -> None:
    text = (site / "settings.html").read_text(encoding="utf-8")
    assert [name for name, one in all_settings().items() if f"<code>{one.option}</code>" not in text] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_shown_as_they_are(site: Path, name: str) -> None:
    """A tag stands around each word of a highlighted program, and none within a line of its docstring."""
    first = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()[0].strip('"')
    assert first in re.sub(r"<[^>]+>", "", (site / "python.html").read_text(encoding="utf-8")).replace("&#39;", "'")


def test_pictures_of_the_readme_are_on_the_first_page(site: Path) -> None:
    shown = re.findall(r'<img[^>]* src="([^"]+)"', (site / "index.html").read_text(encoding="utf-8"))
    assert shown
    assert all((site / path).is_file() for path in shown)


def test_links_lead_to_pages_or_become_text() -> None:
    text = "[a](docs/python.md#x) [b](lib/medvlsam2/errors.py) ![c](docs/pictures/words.png) `[d](README.md)`"
    assert with_links_of_the_site(text, "README.md") == "[a](python.md#x) b ![c](pictures/words.png) `[d](README.md)`"
    text = "[`e`](docs/python.md) `f` [`g[0]`](lib/medvlsam2/errors.py)"
    assert with_links_of_the_site(text, "README.md") == "[`e`](python.md) `f` `g[0]`"
    assert with_links_of_the_site("[s](../apps/medvlsam2/README.md#files)", "docs/python.md") == "[s](server.md#files)"
    assert all((ROOT / source).is_file() for source in PAGES)
