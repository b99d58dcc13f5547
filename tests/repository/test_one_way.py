"""One way for each thing: what may stand in one place only, stands there alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import medvlsam2

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("lib/medvlsam2", "apps/medvlsam2")


class Rule(NamedTuple):
    """What is searched for, and the only files that may hold it."""

    finds: Callable[[ast.AST], bool]
    places: frozenset[str]


def is_call(node: ast.AST, name: str) -> bool:
    """Whether a node calls something by that last name, e.g. ``os.replace`` by "replace"."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == name


def renames_a_file(node: ast.AST) -> bool:
    """``os.replace``, ``os.rename``, ``Path.rename`` and ``Path.replace``; ``str.replace`` takes two arguments."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    name = owner.id if isinstance(owner, ast.Name) else ""
    if name == "os":
        return node.func.attr in {"replace", "rename", "renames"}
    return name != "atomic_files" and node.func.attr in {"replace", "rename"} and len(node.args) == 1


def is_hand_made_cache(node: ast.AST) -> bool:
    """A dictionary that is kept in order of use by hand."""
    return is_call(node, "OrderedDict") or is_call(node, "move_to_end")


def is_ignored_label(node: ast.AST) -> bool:
    """The label that torch's cross entropy ignores, where it is assigned or given to a function."""
    values = []
    if isinstance(node, ast.Assign | ast.AnnAssign):
        values = [node.value]
    elif isinstance(node, ast.Call):
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
    return any(
        isinstance(value, ast.UnaryOp)
        and isinstance(value.op, ast.USub)
        and isinstance(value.operand, ast.Constant)
        and value.operand.value == 100
        for value in values
    )


def is_copied_into_a_tensor(node: ast.AST) -> bool:
    """``torch.from_numpy(np.array(…))``."""
    return is_call(node, "from_numpy") and any(is_call(argument, "array") for argument in node.args)


def is_notice(node: ast.AST) -> bool:
    """The notice that this is research, in any spelling; docstrings may say it too."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and is_notice_text(node.value)


def is_notice_text(text: str) -> bool:
    """Whether a short text is the notice."""
    return len(text) < 120 and re.search("not a medical device", text, re.IGNORECASE) is not None


def is_version(node: ast.AST) -> bool:
    """The number of this version."""
    return isinstance(node, ast.Constant) and node.value == medvlsam2.__version__


def is_box_type(node: ast.AST) -> bool:
    """A tuple type of six whole numbers: the half-open box of voxels."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 6:
        return False
    return ast.unparse(node) == "tuple[int, int, int, int, int, int]"


def is_focal_loss(node: ast.AST) -> bool:
    """The focal loss written out, by the power of what is not yet certain."""
    return isinstance(node, ast.FunctionDef) and "focal" in node.name and "**" in ast.unparse(node)


def is_loose_stride(node: ast.AST) -> bool:
    """``max(1, n // 24)``: a stride that leaves up to 47 slices where 24 were wanted."""
    return (
        is_call(node, "max")
        and isinstance(node, ast.Call)
        and len(node.args) == 2
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[1], ast.BinOp)
        and isinstance(node.args[1].op, ast.FloorDiv)
        and isinstance(node.args[1].right, ast.Constant)
    )


ATOMIC = "lib/medvlsam2/atomic_files.py"
RULES = {
    "files are renamed by one module": Rule(renames_a_file, frozenset({ATOMIC})),
    "caches in order of use are cachetools'": Rule(
        is_hand_made_cache, frozenset({"lib/medvlsam2/tasks/features/feature_store.py"})
    ),
    "the label that losses ignore": Rule(is_ignored_label, frozenset({"lib/medvlsam2/data/language/tokenizer.py"})),
    "the notice": Rule(is_notice, frozenset({"lib/medvlsam2/__init__.py"})),
    "the version": Rule(is_version, frozenset({"lib/medvlsam2/__init__.py"})),
    "the type of a box": Rule(is_box_type, frozenset({"lib/medvlsam2/voxel_box.py"})),
    "cached arrays become tensors in their class": Rule(
        is_copied_into_a_tensor, frozenset({"lib/medvlsam2/training/data/cases.py"})
    ),
    "the focal loss is torchvision's": Rule(is_focal_loss, frozenset()),
    # The voxels of strokes are no slices: another stride there would change masks.
    "slices at a stride are chosen by slice_choice": Rule(
        is_loose_stride, frozenset({"lib/medvlsam2/tasks/answers/intensity.py"})
    ),
}


def nodes(text: str) -> Iterator[ast.AST]:
    """All parts of a program but its docstrings."""
    tree = ast.parse(text)
    words = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return (node for node in ast.walk(tree) if id(node) not in words)


@cache
def found() -> dict[str, dict[str, list[int]]]:
    """For each rule the lines of each file of the package and the app that hold what is searched for."""
    hits: dict[str, dict[str, list[int]]] = {name: {} for name in RULES}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in nodes(path.read_text(encoding="utf-8")):
                for name, rule in RULES.items():
                    if rule.finds(node):
                        hits[name].setdefault(str(path.relative_to(ROOT)), []).append(node.lineno)
    return hits


@pytest.mark.parametrize("name", RULES)
def test_it_stands_in_its_place_alone(name: str) -> None:
    assert {path: lines for path, lines in found()[name].items() if path not in RULES[name].places} == {}


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.places])
def test_it_stands_in_its_place(name: str) -> None:
    """Else the search finds nothing because it searches for nothing."""
    assert RULES[name].places <= found()[name].keys()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("files are renamed by one module", "os.replace(partial, path)"),
        ("files are renamed by one module", "partial.rename(path)"),
        ("files are renamed by one module", "partial.replace(path)"),
        ("caches in order of use are cachetools'", "kept.move_to_end(key)"),
        ("the label that losses ignore", "F.cross_entropy(logits, labels, ignore_index=-100)"),
        ("the notice", "text = 'Research. Not a medical device!'"),
        ("the version", f"told = {{'version': '{medvlsam2.__version__}'}}"),
        ("the type of a box", "Box = tuple[int, int, int, int, int, int]"),
        ("cached arrays become tensors in their class", "torch.from_numpy(np.array(case.whole, dtype=np.float32))"),
        ("the focal loss is torchvision's", "def _focal(logits, truth):\n    return (1 - truth) ** 2"),
        ("slices at a stride are chosen by slice_choice", "step = max(1, len(found) // 24)"),
    ],
)
def test_a_second_place_would_be_found(name: str, text: str) -> None:
    assert any(RULES[name].finds(node) for node in nodes(text))


def test_what_only_looks_alike_is_not_found() -> None:
    text = "name.replace('a', 'b'); folder.rename(name=name); atomic_files.rename(old, new); x = np.array(y)"
    assert not any(rule.finds(node) for rule in RULES.values() for node in nodes(text))
