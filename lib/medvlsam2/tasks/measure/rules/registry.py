"""The measuring function of each name that the table uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medvlsam2.tasks.measure.rules import acquisition, sizes
from medvlsam2.tasks.measure.rules.rule import Measure

MEASURES: Final[Mapping[str, Measure]] = {
    "contrast_phase": acquisition.contrast_phase,
    "body_region": acquisition.body_region,
    "length": sizes.length,
}
