"""The heights of the ends of structures on the body axis, as ``axis_table.yaml`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, cast

import yaml

from medvlsam2.data.facts import Region

TABLE: Final = "axis_table.yaml"
EVERYBODY: Final = "in_every_body.yaml"


@dataclass(frozen=True)
class End:
    """One end of a structure on the body axis."""

    at_mm: float
    """Above the disc between L1 and L2."""
    sd_mm: float
    """Spread between patients after each scan was placed; it includes how labels of one structure differ."""


@dataclass(frozen=True)
class Span:
    """Both ends of a structure."""

    low: End
    high: End


@dataclass(frozen=True)
class AxisTable:
    """All ends, and the usual range of each region."""

    spans: Mapping[str, Span]
    regions: Mapping[Region, tuple[float, float]]
    """Lowest and highest height in mm that a scan of this region shows."""


@cache
def load_axis() -> AxisTable:
    """Read the table; the same object each time."""
    raw = _read(TABLE)
    spans = {key: Span(End(*map(float, ends[:2])), End(*map(float, ends[2:4]))) for key, ends in raw["spans"].items()}
    regions = {cast(Region, name): (float(low), float(high)) for name, (low, high) in raw["regions"].items()}
    return AxisTable(MappingProxyType(spans), MappingProxyType(regions))


@cache
def in_every_body() -> Mapping[str, bool]:
    """Return the structures that nobody lacks; the value says whether a narrow scan of the spine shows them too."""
    raw = _read(EVERYBODY)
    found = {key: group["beside_the_spine"] is False for group in raw["groups"] for key in group["structures"]}
    return MappingProxyType(found)


def _read(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.safe_load(text))
