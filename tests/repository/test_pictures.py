"""The pictures of the documents show the code as it is."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import click_way
import packages

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
STALE = "The code has changed: run 'make pictures', look at the pictures, and commit them."


def test_the_picture_of_the_packages_shows_their_imports() -> None:
    assert packages.draw() == (PICTURES / "packages.svg").read_text(encoding="utf-8"), STALE


def test_an_arrow_that_follows_from_others_is_left_out_and_no_other() -> None:
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}
    assert packages.reduced(edges) == {("a", "b"), ("b", "c"), ("a", "d")}
    assert packages.rows(edges) == [["a"], ["b"], ["c", "d"]]


def test_what_stands_below_data_is_one_box() -> None:
    edges = {("tasks", "data"), ("tasks", "errors"), ("data", "geometry"), ("geometry", "errors")}
    assert packages.foundations(edges) == {"geometry", "errors"}
    assert packages.joined(edges) == {("tasks", "data"), ("tasks", packages.BASE), ("data", packages.BASE)}


def test_the_picture_of_a_click_shows_what_runs(tiny_model_dir: Path) -> None:
    """Recorded with the smallest model, the shipped one's way is the same."""
    drawn = click_way.draw(click_way.recorded(str(tiny_model_dir)))
    assert drawn == (PICTURES / "click_way.svg").read_text(encoding="utf-8"), STALE


def test_a_step_that_does_not_run_is_an_error() -> None:
    steps = [click_way.Seen(number, None) for number in range(len(click_way.STEPS))]
    assert click_way.in_order(steps) == steps
    with pytest.raises(RuntimeError, match="did not run"):
        click_way.in_order(steps[:-1])
    with pytest.raises(RuntimeError, match="another order"):
        click_way.in_order([steps[1], steps[0], *steps[2:]])


@pytest.mark.parametrize("name", ["packages", "click_way"])
def test_a_picture_is_for_light_and_dark_pages_and_asks_for_nothing(name: str) -> None:
    text = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    picture = ElementTree.fromstring(text)
    assert picture.attrib["aria-label"]
    assert "prefers-color-scheme: dark" in text
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
