"""Reads the detections of ``finding_rules.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import yaml

from medvlsam2.tasks.measure.candidates import lungs, organ_spots
from medvlsam2.tasks.measure.candidates.detection import Detection, Find

FINDERS: Final[Mapping[str, Find]] = {
    "consolidation": lungs.consolidation,
    "lung_nodules": lungs.lung_nodules,
    "organ_spots": organ_spots.organ_spots,
    "pleural_fluid": lungs.pleural_fluid,
}
"""The searching function of each name that the table uses."""


@cache
def load_detections() -> Mapping[str, Detection]:
    """The detections by their finding's key, in the order of the table; read at the first call only."""
    text = files("medvlsam2.tasks.measure").joinpath("finding_rules.yaml").read_text(encoding="utf-8")
    rows = yaml.safe_load(text)["detections"]
    return MappingProxyType({key: _detection(key, row) for key, row in rows.items()})


def _detection(key: str, row: Mapping[str, Any]) -> Detection:
    given = dict(row)
    given["of"], given["beside"] = tuple(given["of"]), tuple(given.get("beside", ()))
    given["limits"] = {name: float(value) for name, value in given.get("limits", {}).items()}
    return Detection(key=key, **given)
