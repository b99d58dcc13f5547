"""Turns the dictionaries of clients into the objects that are asked for, and into the form of the result.

Keys of Slicer and OHIF may be null, may be left over from an earlier call, or may hold a whole drop-down list whose
first item is meant. Each field becomes a part of a record here, or an error that names its value. Nothing here knows
the scan: ``medvlsam2.tasks`` checks what depends on it, such as a click outside the scan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from label_tasks.prompting import fields
from label_tasks.prompting.fields import Request, shown
from label_tasks.prompting.target import Target
from label_tasks.prompting.viewers import viewer_of
from medvlsam2.data import vocabulary
from medvlsam2.errors import InvalidPrompt, InvalidRequest, UnknownStructure, nearest_hint
from medvlsam2.tasks.phrases.several import objects_in, requested, require_one
from medvlsam2.tasks.prompts import ObjectPrompt

EXTENSIONS: Final = (".nrrd", ".seg.nrrd", ".nii.gz", ".nii")
"""Allowed values of ``result_extension``."""

UNNAMED: Final = "object"
"""Name of an object without a name."""

_PLACEHOLDER = re.compile(r"^(segment[ _]?\d*|label[ _]?\d*|background|object|unknown.*)?$", re.IGNORECASE)


@dataclass(frozen=True)
class ResultForm:
    """How the client wants its label map."""

    extension: str
    compress: bool


def require_choice(request: Request) -> None:
    """Refuse a request of OHIF's class prompts in which nothing is ticked, whatever the task.

    The panel then knows no names, and would write the answer into whatever segment has the same number.

    Raises:
        InvalidPrompt: if ``label_prompt`` is a list in which nothing is chosen.
    """
    chosen = request.get("label_prompt")
    if viewer_of(request) == "OHIF" and isinstance(chosen, list) and all(number is None for number in chosen):
        raise InvalidPrompt(
            f"label_prompt is {shown(chosen)}: no structure is chosen. Tick one in the list of Class Prompts, or "
            "choose one before you click under Point Prompts."
        )


def semantic(request: Request, labels: Mapping[str, int]) -> tuple[Target, ...]:
    """Structures chosen by ``label_prompt`` (ids), ``label``, ``labels`` or ``structures`` (names); otherwise all.

    For OHIF a structure has its published id as its value, for others the values are 1..N in the order asked.

    Raises:
        UnknownStructure: on a name that the vocabulary or the model does not know.
        InvalidPrompt: on an id that is not published.
    """
    ids = fields.ids(request.get("label_prompt"), labels)
    if ids:
        return tuple(_named(name, value) for name, value in ids)
    wanted = [name for key in ("label", "labels", "structures") for name in fields.names(request.get(key))]
    if not wanted:
        return tuple(_named(name, value) for name, value in labels.items())
    known = dict.fromkeys(_published_name(one, labels) for name in wanted for one in _each_of(name))
    if viewer_of(request) == "OHIF":
        return tuple(_named(name, labels[name]) for name in known)
    return tuple(_named(name, value) for value, name in enumerate(known, start=1))


def referring(request: Request) -> tuple[Target, ...]:
    """A target for each object that the phrase in ``prompt`` names.

    Raises:
        InvalidPrompt: if there is none, or it can be read in two ways.
    """
    phrase = fields.text(request, "prompt")
    if not phrase:
        raise InvalidPrompt(
            f"The option 'prompt' is {shown(request.get('prompt'))}: there is no phrase to look for. "
            "Type one, e.g. 'the largest cyst in the right kidney'."
        )
    return tuple(_named(one, value) for value, one in enumerate(requested(phrase), start=1))


def interactive(request: Request) -> tuple[Target, ...]:
    """Clicks (``foreground``, ``background``), a box (``roi``) and the segment's name (``label``).

    Beside clicks or a box, a name that the vocabulary does not know ("target 1") is kept as a name only.

    Raises:
        InvalidPrompt: if none of them says what to segment, or a name alone names several objects.
    """
    name = fields.text(request, "label")
    phrase = None if is_placeholder(name) else name
    foreground = fields.points("foreground", request.get("foreground"))
    background = fields.points("background", request.get("background"))
    box = fields.box(request.get("roi"))
    is_placed = bool(foreground) or box is not None
    if not is_placed and phrase is None:
        raise InvalidPrompt(
            f"Nothing says what to segment: no foreground click, no box, and the segment is called '{name}'. "
            "Click into the object, draw a box, or name the segment after what it should hold."
        )
    if phrase is not None and not is_placed:
        require_one(phrase)
    prompt = ObjectPrompt(
        text=phrase if not is_placed or is_understood(phrase) else None,
        points_ijk=foreground + background,
        point_labels=(1,) * len(foreground) + (0,) * len(background),
        box_ijk=box,
        name=name or UNNAMED,
    )
    return (Target(1, prompt),)


def class_and_points(request: Request, labels: Mapping[str, int]) -> tuple[Target, ...]:
    """OHIF's ``vista3d``: ``label_prompt`` ids, and ``points`` with ``point_labels`` for a single one.

    Points beside several ids are left over from an earlier call, and are not used. Points without an id mean an object
    without a name, for which OHIF has no segment. Without ids and points all structures are meant.

    Raises:
        InvalidPrompt: on an unpublished id, a malformed point, labels that do not match the points, nothing chosen.
    """
    ids = fields.ids(request.get("label_prompt"), labels)
    if len(ids) > 1:
        return tuple(_named(name, value) for name, value in ids)
    points = fields.points("points", request.get("points"))
    if not points and not ids and request.get("points") is not None:
        raise InvalidPrompt("'points' is []: no point is placed and no structure is chosen. Give one of them.")
    if not points:
        return tuple(_named(name, value) for name, value in ids or labels.items())
    if not ids and viewer_of(request) == "OHIF":
        raise InvalidPrompt(
            f"{len(points)} clicks are given without a structure, so OHIF has no segment for the result. Choose a "
            "structure in the list, then click."
        )
    name, value = ids[0] if ids else (UNNAMED, 1)
    prompt = ObjectPrompt(
        text=name if ids else None,
        points_ijk=points,
        point_labels=fields.point_labels(request.get("point_labels"), len(points)),
        name=name,
    )
    return (Target(value, prompt),)


def result_form(request: Request, image_path: str) -> ResultForm:
    """The kind of file that the client wants; by default NIfTI for a NIfTI scan, and NRRD for any other.

    Raises:
        InvalidRequest: on an extension that we do not write.
    """
    default = ".nii.gz" if image_path.endswith((".nii", ".nii.gz")) else ".nrrd"
    extension = fields.choice(request, "result_extension") or default
    if extension not in EXTENSIONS:
        raise InvalidRequest(
            f"result_extension {shown(extension)} cannot be written. Allowed: {', '.join(EXTENSIONS)}."
        )
    return ResultForm(extension, fields.flag(request, "result_compress"))


def is_placeholder(name: str) -> bool:
    """Whether a viewer gave a segment its name by itself ("Segment_1"), so that the name says nothing."""
    return _PLACEHOLDER.match(name) is not None


def is_understood(phrase: str | None) -> bool:
    """Whether a phrase means exactly one thing of the vocabulary."""
    return phrase is not None and ObjectPrompt(text=phrase).is_understood


def _named(name: str, value: int) -> Target:
    return Target(value, ObjectPrompt(text=name, name=name))


def _each_of(name: str) -> tuple[str, ...]:
    """The single names in a list that the vocabulary would read as one whole ("left kidney and right kidney")."""
    return objects_in(name) if vocabulary.lookup(name) is not None else (name,)


def _published_name(name: str, labels: Mapping[str, int]) -> str:
    structure = vocabulary.find(name)
    if structure.name not in labels:
        raise UnknownStructure(
            f"'{name}' is not among the {len(labels)} structures that this model knows. "
            f"{nearest_hint(structure.name, labels)} GET /info/ lists them all; a free phrase goes to "
            "medvlsam2_referring."
        )
    return structure.name
