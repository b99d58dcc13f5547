"""The table of sentence patterns, and how a pattern becomes a sentence."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import yaml

from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.grammar import sentence

STYLES: Final[tuple[ReportStyle, ...]] = ("narrative", "structured", "terse")


@cache
def patterns() -> Mapping[str, Mapping[ReportStyle, tuple[str, ...]]]:
    """Return the patterns by kind and style; the file is read once."""
    text = files(__package__).joinpath("patterns.yaml").read_text(encoding="utf-8")
    return {
        kind: {style: tuple(by_style[style]) for style in STYLES} for kind, by_style in yaml.safe_load(text).items()
    }


def filled(kind: str, style: ReportStyle, slots: Mapping[str, str]) -> list[str]:
    """Return the sentences of one kind whose slots can all be filled, each once.

    Args:
        kind: of the patterns.
        style: of the report.
        slots: text of each slot that the facts fill.

    Example:
        >>> filled("technique", "terse", {"region": "chest"})
        ['CT chest.', 'CT of the chest.']
    """
    usable = [pattern for pattern in patterns()[kind][style] if slots_of(pattern) <= slots.keys()]
    return list(dict.fromkeys(sentence(pattern.format_map(slots)) for pattern in usable))


def all_filled(kind: str, style: ReportStyle, variants: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the sentences of one kind for several fillings of the slots, e.g. one for each noun."""
    return list(dict.fromkeys(text for slots in variants for text in filled(kind, style, slots)))


@cache
def slots_of(pattern: str) -> frozenset[str]:
    """Return the names of a pattern's slots.

    Example:
        >>> sorted(slots_of("{noun}, {size}"))
        ['noun', 'size']
    """
    return frozenset(name for _, name, _, _ in string.Formatter().parse(pattern) if name)
