"""Reads what Slicer's scribbles tab sends: one label map with the strokes and all segments as they are so far."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from label_tasks.infer import requests
from label_tasks.prompting import fields
from label_tasks.prompting.target import Target
from label_tasks.uploads.strokes import label_map_at
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.labels.placing import on_scan_grid
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt, InvalidRequest
from medvlsam2.tasks.prompts import BESIDE, ON_OBJECT, ObjectPrompt

STROKES: Final = {"foreground_scribbles": ON_OBJECT, "background_scribbles": BESIDE}
"""Names of the segments in which Slicer keeps strokes."""
MAX_VALUE: Final = 65535
"""Largest value of a label map."""
EXAMPLE: Final = "[{'name': 'foreground_scribbles', 'id': 3}, {'name': 'background_scribbles', 'id': 2}]"


def scribbled(request: Mapping[str, Any], volume: CTVolume) -> Target:
    """The uploaded ``label``, with ``label_info``, ``selected_label_name`` and ``roi``.

    The selected segment is the object. If it is not empty, its mask is used beside the strokes; its name is used as in
    :func:`requests.interactive`.

    Raises:
        InvalidRequest: if there is no label map, or ``label_info`` does not name the strokes' values.
        GeometryMismatch: if the label map lies on another grid than the scan.
        InvalidPrompt: if nothing is drawn on the object.
    """
    path = request.get("label")
    if not isinstance(path, str) or not _is_upload(path):
        raise InvalidRequest("No strokes were sent. Upload the label map that holds them as 'label'.")
    drawn = on_scan_grid("The label map of strokes", label_map_at(path, volume), volume.shape_ijk, volume.affine)
    values = _values(request.get("label_info"))
    scribbles = np.zeros(drawn.values.shape, dtype=np.uint8)
    for name, meaning in STROKES.items():
        if name in values:
            scribbles[drawn.values == values[name]] = meaning
    name = fields.text(request, "selected_label_name")
    if not (scribbles == ON_OBJECT).any():
        raise InvalidPrompt(
            f"There is no stroke on the object{f' {name!r}' if name else ''}. Draw one with 'foreground scribbles'."
        )
    mask = _held(drawn, values.get(name)) if name not in STROKES else None
    phrase = None if name in STROKES or requests.is_placeholder(name) else name
    prompt = ObjectPrompt(
        text=phrase if requests.is_understood(phrase) else None,
        box_ijk=fields.box(request.get("roi")),
        name=name if name and name not in STROKES else requests.UNNAMED,
        scribbles=scribbles,
        mask=mask,
    )
    return Target(1, prompt)


def _is_upload(path: str) -> bool:
    """Whether a file is an upload of this request: ``params`` could name any file of the server."""
    folder = Path(tempfile.gettempdir()).resolve()
    return Path(path).is_absolute() and Path(path).resolve().is_relative_to(folder)


def _values(label_info: Any) -> dict[str, int]:
    """Value of each segment in the file, by its name.

    Raises:
        InvalidRequest: on an item without a name or a whole number, or where two items share a name or a value.
    """
    items = label_info if isinstance(label_info, list | tuple) else []
    values: dict[str, int] = {}
    for item in items:
        name, value = (item.get("name"), fields.whole(item.get("id"))) if isinstance(item, Mapping) else (None, None)
        if not isinstance(name, str) or value is None or not 0 < value <= MAX_VALUE:
            raise InvalidRequest(
                f"label_info holds {fields.shown(item)}: it does not say which value the strokes have. Give for each "
                f"segment its name and its value, 1 to {MAX_VALUE}, e.g. {EXAMPLE}."
            )
        if name in values or value in values.values():
            raise InvalidRequest(
                f"label_info gives {fields.shown(name)} and {value} twice, so it does not say which value the strokes "
                f"have. Give every segment a name and a value of its own, e.g. {EXAMPLE}."
            )
        values[name] = value
    if not STROKES.keys() & values.keys():
        raise InvalidRequest(
            f"label_info is {fields.shown(label_info)}: it does not say which value the strokes have. Give e.g. "
            f"{EXAMPLE}."
        )
    return values


def _held(drawn: LabelMap, value: int | None) -> np.ndarray | None:
    """The mask of the selected segment; None if it is empty."""
    if value is None:
        return None
    held = drawn.values == value
    return held if held.any() else None
