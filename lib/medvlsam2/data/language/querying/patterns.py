"""Patterns of wordings: groups of lines in ``wordings/``, alternatives in a line, and which lines are held out.

A pattern is one line. ``(a|b|)`` stands for one of its alternatives, and may be nested; ``{the}`` is a slot. Round
brackets without ``|`` are plain text. A line is held out as a whole, by a hash of its text: it stays on its side when
other lines come or go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

import numpy as np
import yaml

from medvlsam2.data.language.grammar import pick

Split = Literal["train", "held out"]

_HELD_OUT_PERCENT = 10
_FILES = (
    *("structure_present", "finding_present", "place", "count_and_slices", "lists", "declined", "picture", "special"),
    *("measures/any", "measures/volume", "measures/length", "comparisons/ratio", "comparisons/more"),
    *("states/size", "states/disease", "scan/kind", "scan/grid", "scan/impression", "fixed"),
    *("followups/other", "followups/measure", "followups/same"),
)
_FOLLOWUPS = "followups/"
"""Room of the questions that refer to the query before."""
_ALTERNATIVES = re.compile(r"\(([^()]*\|[^()]*)\)")


@cache
def content(name: str) -> Mapping[str, Any]:
    """Return one file of wordings; its name is the path in their folder, without the ending."""
    text = files("medvlsam2.data.language.querying").joinpath("wordings", f"{name}.yaml").read_text(encoding="utf-8")
    return cast("Mapping[str, Any]", yaml.safe_load(text))


@cache
def groups() -> Mapping[str, tuple[str, ...]]:
    """Return the patterns of every group; "then …" are those of questions that follow others."""
    every = {
        f"then {name}" if file.startswith(_FOLLOWUPS) else name: lines
        for file in _FILES
        for name, lines in content(file).items()
    }
    fixed = every.pop("fixed")
    every |= {f"fixed {target}": lines for target, lines in fixed.items()}
    return {name: tuple(line for line in lines.splitlines() if line.strip()) for name, lines in every.items()}


@cache
def patterns(group: str, split: Split) -> tuple[str, ...]:
    """Return the patterns of a group on one side of the split; both sides hold at least one."""
    lines = groups()[group]
    held = tuple(line for line in lines if is_held_out(group, line)) or (
        min(lines, key=lambda line: _hash(group, line)),
    )
    return held if split == "held out" else tuple(line for line in lines if line not in held)


def is_held_out(owner: str, text: str) -> bool:
    """Return whether a text (a pattern of a group, or a synonym of a key) is never trained on."""
    return _hash(owner, text) % 100 < _HELD_OUT_PERCENT


def expanded(pattern: str, rng: np.random.Generator) -> str:
    """Return a pattern with one of the alternatives in each place.

    Example:
        >>> expanded("(see|see) {the}(|) (HU)", np.random.default_rng(0))
        'see {the} (HU)'
    """
    while found := _ALTERNATIVES.search(pattern):
        pattern = pattern[: found.start()] + pick(rng, found[1].split("|")) + pattern[found.end() :]
    return pattern


def words(text: str) -> list[str]:
    """Return the words of a line such as "largest|biggest"; a word that stands twice is drawn twice as often."""
    return text.split("|")


def _hash(owner: str, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{owner}: {text}".encode()).digest()[:4], "big")
