"""Draws the packages in their layers, and the arrows of their imports, from the imports themselves.

An arrow that follows from others is left out: from `tasks` to `data` leads a way by `model`. Rows are the length of
the longest way down. What stands below `data` is one box.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import grimp

from drawing import Picture, wrapped

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "lib" / "medvlsam2"
APP: Final = ROOT / "apps" / "medvlsam2" / "label_tasks"
WIDTH: Final = 1000
GAP: Final = 46
ROW_GAP: Final = 40
KINDS: Final[Mapping[str, str]] = {
    "app": "app",
    "cli": "command",
    "evaluation": "command",
    "tasks": "tasks",
    "training": "training",
    "transforms": "model",
    "model": "model",
    "data": "data",
}
"""Colour of each package."""
BASE: Final = "foundations"

Edges = set[tuple[str, str]]


def imports() -> Edges:
    """Which package imports which, by its own files; "app" is the MONAI Label app."""
    for source in (PACKAGE.parent, APP.parent):
        if str(source) not in sys.path:
            sys.path.insert(0, str(source))
    graph = grimp.build_graph("medvlsam2", "label_tasks", cache_dir=None)
    pairs = {
        (_package(module), _package(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(one, other) for one, other in pairs if one and other and one != other}


def foundations(edges: Edges) -> frozenset[str]:
    """What stands below `data`: modules and packages that import neither `data` nor what imports it."""
    above = {"data"}
    while more := {one for one, other in edges if other in above} - above:
        above |= more
    return frozenset(name for edge in edges for name in edge) - above


def joined(edges: Edges) -> Edges:
    """The foundations as one box."""
    below = foundations(edges)
    pairs = {(one if one not in below else BASE, other if other not in below else BASE) for one, other in edges}
    return {(one, other) for one, other in pairs if one != other}


def _package(module: str) -> str:
    first, *rest = module.split(".")
    return "app" if first == "label_tasks" else (rest[0] if rest else "")


def reduced(edges: Edges) -> Edges:
    """Without the arrows that follow from others."""

    @cache
    def reached(start: str) -> frozenset[str]:
        direct = {other for one, other in edges if one == start}
        return frozenset(direct.union(*(reached(one) for one in direct)))

    return {
        (one, other)
        for one, other in edges
        if not any(other in reached(third) for first, third in edges if first == one and third != other)
    }


def rows(edges: Edges) -> list[list[str]]:
    """Packages from top to bottom, by the longest way down; the app stands last in its row."""

    @cache
    def depth(name: str) -> int:
        return max((1 + depth(other) for one, other in edges if one == name), default=0)

    names = {name for edge in edges for name in edge}
    ordered = sorted(names, key=lambda name: (-depth(name), name == "app", name == "training", name))
    return [[name for name in ordered if depth(name) == level] for level in range(depth(ordered[0]), -1, -1)]


def purpose(name: str) -> str:
    """The first sentence of a package's own docstring."""
    place = APP if name == "app" else PACKAGE / name
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n", maxsplit=1)[0].replace("``", "").split()).split(". ", maxsplit=1)[0].rstrip(".")


def rooms(name: str) -> list[str]:
    """The folders of a package."""
    place = APP if name == "app" else PACKAGE / name
    return sorted(path.parent.name for path in place.glob("*/__init__.py"))


def draw() -> str:
    """The picture as SVG."""
    picture = Picture("The packages of MedVL-SAM2 in layers; arrows are imports and point downwards")
    below = sorted(foundations(imports()))
    edges = joined(imports())
    boxes: dict[str, tuple[float, float, float, float]] = {}
    y = 16.0
    for names in rows(edges):
        width = WIDTH - 2 * GAP if names == [BASE] else min(440.0, (WIDTH - GAP * (len(names) + 1)) / len(names))
        left = (WIDTH - len(names) * width - (len(names) - 1) * GAP) / 2
        heights = []
        for column, name in enumerate(names):
            x = left + column * (width + GAP)
            heights.append(_height(name, width) if name != BASE else 42 + 18 * len(below))
            boxes[name] = (x, y, width, heights[-1])
        tallest = max(heights)
        for name in names:
            x, _, width, _ = boxes[name]
            boxes[name] = (x, y, width, tallest)
        y += tallest + ROW_GAP
    for one, other in sorted(reduced(edges)):
        picture.path(_way(one, other, boxes))
    for name, place in boxes.items():
        if name == BASE:
            _draw_base(picture, below, place)
        else:
            _draw_box(picture, name, place)
    return picture.svg(WIDTH, y - ROW_GAP + 16)


def _lines(name: str, width: float) -> tuple[list[str], list[str]]:
    listed = " · ".join(f"{room}/" for room in rooms(name))
    return wrapped(purpose(name), width - 28, 13), wrapped(listed, width - 28, 12) if listed else []


def _height(name: str, width: float) -> float:
    says, listed = _lines(name, width)
    return 34 + 17 * len(says) + 16 * len(listed) + 8


def _draw_box(picture: Picture, name: str, place: tuple[float, float, float, float]) -> None:
    x, y, width, height = place
    picture.box(x, y, width, height, KINDS.get(name, "base"))
    title = "apps/medvlsam2 (label_tasks)" if name == "app" else name
    picture.text(x + 14, y + 24, title, "name")
    says, listed = _lines(name, width)
    for number, line in enumerate(says):
        picture.text(x + 14, y + 44 + 17 * number, line, "says")
    for number, line in enumerate(listed):
        picture.text(x + 14, y + 46 + 17 * len(says) + 16 * number, line, "small")


def _draw_base(picture: Picture, names: list[str], place: tuple[float, float, float, float]) -> None:
    """One line for each module: its name, and the beginning of what it says of itself."""
    x, y, width, height = place
    picture.box(x, y, width, height, "base")
    picture.text(x + 14, y + 24, BASE, "name")
    for number, name in enumerate(names):
        line = y + 46 + 18 * number
        picture.text(x + 14, line, name, "code")
        lines = wrapped(purpose(name), width - 170, 13)
        picture.text(x + 150, line, lines[0] + (" …" if len(lines) > 1 else ""), "says")


def _way(one: str, other: str, boxes: Mapping[str, tuple[float, float, float, float]]) -> str:
    """From the bottom of a box to the top of another, through the gaps of the rows between them."""
    x, y, width, height = boxes[one]
    end_x, end_y, end_width, _ = boxes[other]
    x, y, end_x = x + width / 2, y + height, end_x + end_width / 2
    shift = max(-60.0, min(60.0, (end_x - x) / 6))
    x, end_x = x + shift, end_x - shift
    path = f"M{x:.0f} {y:.0f}"
    between = sorted({place[1] for place in boxes.values() if y < place[1] < end_y - 1})
    for top in between:
        row = sorted(place for place in boxes.values() if place[1] == top)
        gap_x, bottom = _gap(row, (x + end_x) / 2), top + row[0][3]
        path += f" C{x:.0f} {y + 24:.0f} {gap_x:.0f} {top - 24:.0f} {gap_x:.0f} {top:.0f} L{gap_x:.0f} {bottom:.0f}"
        x, y = gap_x, bottom
    return f"{path} C{x:.0f} {y + 24:.0f} {end_x:.0f} {end_y - 26:.0f} {end_x:.0f} {end_y - 2:.0f}"


def _gap(row: list[tuple[float, float, float, float]], wanted_x: float) -> float:
    """The middle of the gap of a row that is nearest to where a line would like to pass."""
    between = [(one[0] + one[2] + other[0]) / 2 for one, other in itertools.pairwise(row)]
    free = [row[0][0] - GAP / 2, *between, row[-1][0] + row[-1][2] + GAP / 2]
    return min(free, key=lambda x: abs(x - wanted_x))
