"""Loader of the table of structures: reads two YAML files once and expands their short forms.

``structures.yaml`` holds groups of rows with a common ``window``, ``category`` and ``is_finding``; a row may override
these. A row is one structure, unless it stands for a pair: a row with ``whole``, ``left_also`` or ``right_also``
becomes ``<key>_left`` and ``<key>_right``. With ``whole`` the pair becomes a third structure. For vertebrae and ribs
the file gives only the codes; this module makes the names. The colours are in ``structure_colors.yaml``, which
``benchmarks/colours.py`` writes. Other modules use
:mod:`medvlsam2.data.vocabulary`; of this module they import types alone.
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
"""Range of Hounsfield units in which a structure is seen best."""
Side = Literal["left", "right"]
Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept in DICOM's form.

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
    """A structure or finding that can be named, segmented, shown and exported."""

    key: str
    """Identifier in files and code, e.g. "kidney_left"; TotalSegmentator's class name if it has that class."""
    name: str
    """Name that people read, e.g. "left kidney"."""
    synonyms: tuple[str, ...] = ()
    """Other phrases for the structure; word order, plural, spelling and short forms of a side need no entry."""
    side: Side | None = None
    """Side of the body. None also for the chambers of the heart: a mirror image does not swap them."""
    snomed: Code
    """Code of the structure without its side (DICOM segmented property type)."""
    laterality: Code | None = None
    """Code of the side (property type modifier); None if ``snomed`` already includes the side."""
    category: Code
    """DICOM segmented property category."""
    color_rgb: Rgb
    """Display colour, 0 to 255, which no other structure has. Neighbours differ also for colour-blind viewers."""
    window: Window = "soft"
    """CT window that shows the structure best."""
    parts: tuple[str, ...] = ()
    """Keys of the structures whose union is this structure; a part may have parts."""
    site: str | None = None
    """Key of the structure in which a finding lies (DICOM anatomic region)."""
    is_finding: bool = False
    """True for lesions and other findings, False for normal anatomy."""


_LATERALITY: dict[Side, Code] = {"left": Code("7771000", "Left"), "right": Code("24028007", "Right")}
_SIDED_CODES = frozenset({"72481006"})
"""Codes that include a side (middle lobe of right lung), and therefore get no laterality."""
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
    """Return the structures by key, in the order of the file; the files are read at the first call only."""
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
    """Yield the left structure, the right structure and, if the row has ``whole``, both together as one structure."""
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
