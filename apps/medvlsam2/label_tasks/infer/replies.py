"""Files and JSON that go back to the client."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt8

from label_tasks.infer.requests import ResultForm
from label_tasks.prompting.target import Target
from medvlsam2 import geometry
from medvlsam2.data.language.clinical import split_sentences
from medvlsam2.data.placement.scan_affine import for_viewers
from medvlsam2.data.readers import write_label_map
from medvlsam2.data.volume import CTVolume
from medvlsam2.pixel_grid import centre_shares, middle_of
from medvlsam2.tasks.records.to_json import Result

GAP_MM: Final = 10.0
"""Least distance of two sentences: Slicer's labels are 3 % of a view high, about 10 mm if a view shows 350 mm."""

_MARKUPS_SCHEMA: Final = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@dataclass(frozen=True)
class Reply:
    """What a task answers: the file that viewers load, and the result that the JSON beside it tells."""

    file: Path
    result: Result
    values: tuple[int | None, ...] | None = None
    """Of a segmentation: the value of each object in the file; None for an object that the file leaves out."""
    notes: tuple[str, ...] = ()
    """Warnings besides those of the result."""


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
    write_label_map(path, label_map, for_viewers(volume.affine, volume.shape_ijk), names, compress=form.compress)
    return path


def text_file(
    text: str, title: str, volume: CTVolume, places_ras: Mapping[str, tuple[float, float, float] | None]
) -> Path:
    """Write a text as Slicer markups: a locked point for each whole sentence, at the place that the sentence is about.

    Slicer has no place for text in a reply and fails on a reply without a file, but it shows markups in its views. A
    sentence without a place stands on the scan's middle line, and no two sentences stand at one place. Slicer's module
    loads the file with ``loadMarkups``, which always adds a node; so each text becomes a node of its own, and the time
    in the node's name shows which one is the newest.

    Args:
        text: all sentences.
        title: what the text is, e.g. "Draft report".
        volume: the scan.
        places_ras: the place of each sentence in RAS mm, as far as it is known.
    """
    sentences = split_sentences(text) or [text]
    name = f"{title} {datetime.now().astimezone():%H:%M:%S}"
    middle_ras = _down_the_middle(volume, len(sentences))
    wanted_ras = [
        np.asarray(place if (place := places_ras.get(sentence)) is not None else middle)
        for sentence, middle in zip(sentences, middle_ras, strict=True)
    ]
    markups = {
        "type": "Fiducial",
        "name": name,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "labelFormat": "%N",
        "controlPoints": [
            _point(number, sentence, text, place_ras * (-1.0, -1.0, 1.0))
            for number, (sentence, place_ras) in enumerate(zip(sentences, _apart(wanted_ras), strict=True), start=1)
        ],
        "measurements": [],
    }
    path = _new_file(".json")
    path.write_text(json.dumps({"@schema": _MARKUPS_SCHEMA, "markups": [markups]}, indent=1), encoding="utf-8")
    return path


def _apart(wanted_ras: Sequence[Float[np.ndarray, "3"]]) -> list[Float[np.ndarray, "3"]]:
    """The same places; one that is taken already is moved a little towards the feet or the head."""
    taken: list[Float[np.ndarray, "3"]] = []
    steps = sorted(range(-len(wanted_ras), len(wanted_ras) + 1), key=abs)
    for wanted in wanted_ras:
        places = [wanted + np.array([0.0, 0.0, step * GAP_MM]) for step in steps]
        free = (place for place in places if all(np.linalg.norm(place - other) >= GAP_MM for other in taken))
        taken.append(next(free, wanted))
    return taken


def _down_the_middle(volume: CTVolume, count: int) -> Float[np.ndarray, "n 3"]:
    """Places on a line through the middle of the scan, from the patient's head to the feet, in RAS mm."""
    shape = np.asarray(volume.shape_ijk, dtype=np.float64)
    upright = int(np.argmax(np.abs(volume.affine[2, :3]) * shape))
    shares = centre_shares(count)
    places_ijk = np.repeat(middle_of(shape)[None], count, axis=0)
    grows_up = volume.affine[2, upright] > 0
    places_ijk[:, upright] = (1.0 - shares if grows_up else shares) * (shape[upright] - 1.0)
    return geometry.ijk_to_ras(places_ijk, volume.affine)


def _point(number: int, sentence: str, text: str, place_lps: Float[np.ndarray, "3"]) -> dict[str, Any]:
    """A locked control point that shows a sentence, and carries the whole text in its description."""
    return {
        "id": str(number),
        "label": sentence,
        "description": text,
        "associatedNodeID": "",
        "position": [round(float(x_mm), 3) for x_mm in place_lps],
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
        "selected": True,
        "locked": True,
        "visibility": True,
        "positionStatus": "defined",
    }


def _new_file(extension: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="medvlsam2-", suffix=extension, delete=False) as file:
        return Path(file.name)
