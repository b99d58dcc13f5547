"""Half a pixel is crossed in one module only: elsewhere nobody can see which grid a 0.5 belongs to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
THE_MODULE = "lib/medvlsam2/pixel_grid.py"
NO_GRIDS = {
    "lib/medvlsam2/data/phantom": "shapes and noise of a drawn body, in mm and shares of organs",
    "lib/medvlsam2/data/synthesis/tissue.py": "soft edges of gas and tubes: shares of a voxel, not places",
}


def is_half(node: ast.AST) -> bool:
    """Whether a node is one half, or an array that holds one."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Call):
        lists = (argument for argument in node.args if isinstance(argument, ast.List | ast.Tuple))
        return any(is_half(element) for each in lists for element in each.elts)
    is_quotient = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
    if is_quotient and all(isinstance(part, ast.Constant) for part in (node.left, node.right)):
        return node.left.value / node.right.value == 0.5
    return isinstance(node, ast.Constant) and node.value == 0.5


def is_crossing(node: ast.AST) -> bool:
    """Whether half a pixel is added, or a place is compared with the index of a first edge, or n - 1 is halved."""
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub(), left=left, right=right):
            factors = [
                factor
                for side in (left, right)
                if isinstance(side, ast.BinOp) and isinstance(side.op, ast.Mult)
                for factor in (side.left, side.right)
            ]
            return any(map(is_half, (left, right, *factors)))
        case ast.AugAssign(op=ast.Add() | ast.Sub(), value=value):
            return is_half(value)
        case ast.Compare(left=left, comparators=others):
            return any(isinstance(side, ast.UnaryOp) and is_half(side) for side in (left, *others))
        case ast.BinOp(
            op=ast.Div(),
            left=ast.BinOp(op=ast.Sub(), right=ast.Constant(value=1)),
            right=ast.Constant(value=2),
        ):
            return True
    return False


def crossings(text: str) -> Iterator[int]:
    """Numbers of the lines on which half a pixel is crossed."""
    return (node.lineno for node in ast.walk(ast.parse(text)) if is_crossing(node))


def test_nothing_but_one_module_adds_half_a_pixel():
    allowed = (THE_MODULE, *NO_GRIDS)
    files = [path for part in ("lib", "apps") for path in sorted((ROOT / part).rglob("*.py"))]
    assert len(files) > 300
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        if not str(path.relative_to(ROOT)).startswith(allowed)
        for line in crossings(path.read_text(encoding="utf-8"))
    ]
    assert not found, f"Use a function of {THE_MODULE} in {', '.join(found)}."


@pytest.mark.parametrize("path", [THE_MODULE, *NO_GRIDS])
def test_what_is_allowed_is_needed(path):
    place = ROOT / path
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    assert any(list(crossings(file.read_text(encoding="utf-8"))) for file in files)


@pytest.mark.parametrize(
    "text",
    [
        "y = (x + 0.5) * scale - 0.5",
        "y = 0.5 + x",
        "y = x + np.array([0.0, 0.5, 0.5])",
        "x += 1 / 2",
        "inside = -0.5 <= x",
        "place = first + 0.5 * spacing",
        "middle = (size - 1) / 2",
    ],
)
def test_a_crossing_is_seen(text):
    assert list(crossings(text))


@pytest.mark.parametrize(
    "text", ["sure = score > 0.5", "mean = (a + b) / 2", "y = rng.uniform(-0.5, 0.5)", "y = x**-0.5"]
)
def test_other_halves_are_not(text):
    assert not list(crossings(text))
