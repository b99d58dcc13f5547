"""The table behind the vocabulary: reads two files once and writes out their short forms.

``structures.yaml`` holds groups of rows with a common ``window``, ``category`` and ``is_finding``; a row may override
them. A row is one structure, unless it stands for a pair: with ``whole``, ``left_also`` or ``right_also`` it
becomes ``<key>_left`` and ``<key>_right`` and, with ``whole``, the pair as a structure of its own. Vertebrae
and ribs are series: the file gives their codes, this module their names. Colours stand in ``structure_colors.yaml``,
which ``benchmarks/colours.py`` writes. Only
:mod:`medvlsam2.data.vocabulary` needs to import this; everybody else goes through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, cast

import yaml

Window = Literal["soft", "lung", "bone", "brain"]
Side = Literal["left", "right"]
Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Code:
    """One coded concept, as DICOM writes it.

    Example:
        >>> Code("10200004", "Liver").scheme
        'SCT'
    """

    value: str
    """Code value, e.g. "10200004"."""
    meaning: str
    """Readable meaning, e.g. "Liver"."""
    scheme: str = "SCT"
    """Coding scheme designator; SCT is SNOMED CT."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """One thing that can be named, segmented, shown and exported."""

    key: str
    """Identifier in files and code: TotalSegmentator's class name where it has one, e.g. "kidney_left"."""
    name: str
    """What people read, e.g. "left kidney"."""
    synonyms: tuple[str, ...] = ()
    """Other phrases for it; word order, plural, spelling and abbreviations of side need not be listed."""
    side: Side | None = None
    """Side of the body; None for the chambers of the heart, which a mirror image does not swap."""
    snomed: Code
    """What it is (DICOM segmented property type), without the side."""
    laterality: Code | None = None
    """Side as a code (property type modifier); None where the code above already says it."""
    category: Code
    """DICOM segmented property category."""
    color_rgb: Rgb
    """Display colour, 0 to 255, unlike that of any other structure; neighbours are far apart for every eye."""
    window: Window = "soft"
    """CT window in which it is best seen."""
    parts: tuple[str, ...] = ()
    """Keys whose union is this structure; a part may itself have parts."""
    site: str | None = None
    """Key of the structure in which a finding lies (DICOM anatomic region)."""
    is_finding: bool = False
    """True for lesions and other findings, False for normal anatomy."""


_LATERALITY: dict[Side, Code] = {"left": Code("7771000", "Left"), "right": Code("24028007", "Right")}
_SIDED_CODES = frozenset({"72481006"})
"""Codes that name a side themselves (middle lobe of right lung): no laterality beside them."""
_CATEGORIES = {
    "anatomy": Code("123037004", "Anatomical Structure"),
    "tissue": Code("85756007", "Tissue"),
    "substance": Code("91720002", "Body Substance"),
    "abnormality": Code("49755003", "Morphologically Altered Structure"),
}
_SIDES: tuple[Side, Side] = ("left", "right")
ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
_REGIONS = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}
_VERTEBRA_NAMES = {"C1": ("atlas",), "C2": ("axis",)}


@cache
def load_structures() -> Mapping[str, Structure]:
    """Read the table, the first time only; key to structure, in the order of the file."""
    table: dict[str, Structure] = {}
    content = _content("structures.yaml")
    rows = (*_from_groups(content["groups"]), *_vertebrae(content["vertebrae"]), *_ribs(content["ribs"]))
    for structure in rows:
        assert structure.key not in table, f"{structure.key} stands twice in structures.yaml"
        table[structure.key] = structure
    return MappingProxyType(table)


def _content(name: str) -> dict[str, Any]:
    text = files("medvlsam2.data.structures").joinpath(name).read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.safe_load(text))


@cache
def _colors() -> dict[str, Rgb]:
    return {key: cast(Rgb, tuple(rgb)) for key, rgb in _content("structure_colors.yaml").items()}


def _from_groups(groups: list[dict[str, Any]]) -> Iterator[Structure]:
    for group in groups:
        common = {key: value for key, value in group.items() if key != "rows"}
        for row in group["rows"]:
            merged = {**common, **row}
            if {"whole", "left_also", "right_also"} & merged.keys():
                yield from _pair(merged)
            else:
                yield _single(merged)


def _single(row: dict[str, Any]) -> Structure:
    value, meaning = row["code"]
    side: Side | None = row.get("side")
    return Structure(
        key=row["key"],
        name=row.get("name", row["key"].replace("_", " ")),
        synonyms=tuple(row.get("also", ())),
        side=side,
        snomed=Code(str(value), meaning),
        laterality=_LATERALITY[side] if side and str(value) not in _SIDED_CODES else None,
        category=_CATEGORIES[row.get("category", "anatomy")],
        color_rgb=_colors()[row["key"]],
        window=row["window"],
        parts=tuple(row.get("parts", ())),
        site=row.get("site"),
        is_finding=row.get("is_finding", False),
    )


def _pair(row: dict[str, Any]) -> Iterator[Structure]:
    """Left, right and, where the row names it, both together."""
    key, name = row["key"], row.get("name", row["key"].replace("_", " "))
    also = row.get("also", [])
    for side in _SIDES:
        sided = {
            "key": f"{key}_{side}",
            "name": f"{side} {name}",
            "also": [f"{side} {phrase}" for phrase in also] + row.get(f"{side}_also", []),
            "side": side,
            "site": row["site"].format(side=side) if "site" in row else None,
        }
        yield _single({**row, **sided})
    if "whole" in row:
        whole = {
            "key": row["whole"],
            "name": row.get("whole_name", row["whole"].replace("_", " ")),
            "also": [name, *also],
            "parts": [f"{key}_left", f"{key}_right"],
            "site": row.get("whole_site"),
        }
        yield _single({**row, **whole})


def _vertebrae(codes: dict[str, list[int]]) -> Iterator[Structure]:
    levels = [
        (f"{letter}{number}", f"{ORDINALS[number - 1]} {_REGIONS[letter]} vertebra", str(code))
        for letter, series in codes.items()
        for number, code in enumerate(series, start=1)
    ]
    for level, phrase, code in levels:
        yield Structure(
            key=f"vertebrae_{level}",
            name=f"{level} vertebra",
            synonyms=(level, phrase, *_VERTEBRA_NAMES.get(level, ())),
            snomed=Code(code, f"{level} vertebra"),
            category=_CATEGORIES["anatomy"],
            color_rgb=_colors()[f"vertebrae_{level}"],
            window="bone",
        )


def _ribs(codes: list[int]) -> Iterator[Structure]:
    for side in _SIDES:
        for number, (ordinal, code) in enumerate(zip(ORDINALS, codes, strict=True), start=1):
            yield Structure(
                key=f"rib_{side}_{number}",
                name=f"{side} rib {number}",
                synonyms=(f"{side} {ordinal} rib",),
                side=side,
                snomed=Code(str(code), f"{ordinal.capitalize()} rib"),
                laterality=_LATERALITY[side],
                category=_CATEGORIES["anatomy"],
                color_rgb=_colors()[f"rib_{side}_{number}"],
                window="bone",
            )
