"""Files and JSON that go back to the client."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from label_tasks.requests import ResultForm, Target
from medvlsam2 import geometry
from medvlsam2.data.readers import write_label_map
from medvlsam2.data.volume import CTVolume

NOTICE: Final = "Research; not a medical device."
"""Stands among the warnings of every reply."""

_MARKUPS_SCHEMA: Final = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_SHOWN_CHARACTERS: Final = 120


@dataclass(frozen=True)
class Reply:
    """What a task answers: the file that viewers load, and the JSON beside it."""

    file: Path
    body: dict[str, Any]


@dataclass(frozen=True)
class Stopwatch:
    """Seconds per stage of one request."""

    laps_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Time one stage."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self.laps_s[name] = round(time.perf_counter() - start_s, 4)


def recode(label_map: UInt8[np.ndarray, "i j k"], targets: Sequence[Target]) -> UInt8[np.ndarray, "i j k"]:
    """The same objects with the values that the client expects (n-th object → n-th target's value)."""
    table = np.zeros(256, dtype=np.uint8)
    for number, target in enumerate(targets, start=1):
        table[number] = target.value
    return table[label_map]


def label_file(
    label_map: UInt8[np.ndarray, "i j k"], volume: CTVolume, names: dict[int, str], form: ResultForm
) -> Path:
    """Write a mask on exactly the grid of the scan; the host deletes the file after sending it."""
    path = _new_file(form.extension)
    write_label_map(path, label_map, volume.affine, names, compress=form.compress)
    return path


def text_file(text: str, title: str, volume: CTVolume) -> Path:
    """Write a text as Slicer markups: one locked point in the middle of the scan that carries it.

    Slicer has no place for text in a reply and fails on a reply without a file; this one it shows in its
    views, whole in the point's description.
    """
    middle_ijk = (np.asarray([volume.shape_ijk], dtype=np.float64) - 1.0) / 2.0
    middle_lps = geometry.ijk_to_ras(middle_ijk, geometry.ras_to_lps_affine(volume.affine))[0]
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    point = {
        "id": "1",
        "label": shown,
        "description": text,
        "associatedNodeID": "",
        "position": [round(float(x_mm), 3) for x_mm in middle_lps],
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
        "selected": True,
        "locked": True,
        "visibility": True,
        "positionStatus": "defined",
    }
    markups = {
        "type": "Fiducial",
        "name": title,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "labelFormat": "%N",
        "controlPoints": [point],
        "measurements": [],
    }
    path = _new_file(".json")
    path.write_text(json.dumps({"@schema": _MARKUPS_SCHEMA, "markups": [markups]}, indent=1), encoding="utf-8")
    return path


def _new_file(extension: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="medvlsam2-", suffix=extension, delete=False) as file:
        return Path(file.name)
